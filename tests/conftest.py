"""What holds for all tests, however they are started."""

import signal

# A shell ignores SIGINT for what it starts in the background, and every program that a test starts and
# interrupts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
