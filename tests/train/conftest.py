"""What holds for the tests of training."""

import os

import pytest


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small gain nothing from a second thread, and threads that wait for one another on a busy machine cost minutes."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "OMP_NUM_THREADS", "1")  # of the programs that tests start
        yield
    torch.set_num_threads(before)
