"""Take over the settings of a Java OTP-Pi: its resource/data directory becomes our settings, accounts and block list.

    converted = convert(Path("/var/otp-pi/resource/data"))
    write(converted, Path("/etc/otp-pi"))

Nothing is guessed in silence: of every key that stands there a note says what became of it. No note, error or repr
holds a password, a PIN or a hash; new passwords are returned once, in ``Converted.accounts``.
"""

from otp.pi.importing.conversion import Converted, convert
from otp.pi.importing.files import ImportFault
from otp.pi.importing.users import ImportedAccount
from otp.pi.importing.writing import write

__all__ = ["Converted", "ImportFault", "ImportedAccount", "convert", "write"]
