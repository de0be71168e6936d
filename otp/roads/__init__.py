"""What everybody shares who talks to the five kinds of servers, the publisher as the OTP-Pi."""
