"""What holds for all tests."""

import signal

# Started in the background of a script (CI, nohup), Python inherits an ignored SIGINT, and so would every program that a test
# starts and then stops by Ctrl-C: it would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)
