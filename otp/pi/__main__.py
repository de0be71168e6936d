"""``python -m otp.pi`` is ``otp-pi``."""

from otp.pi.cli import main

if __name__ == "__main__":
    main()
