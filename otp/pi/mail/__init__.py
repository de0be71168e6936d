"""Send mail through SMTP accounts that take turns.

``message`` writes a mail, ``smtp`` hands it to one server and says what became of it, ``mailer`` chooses the account.
Nothing here is imported before an account is configured: ``aiosmtplib`` stays out of the process otherwise.
"""
