import platform
import sys

from soundsight.training.memory import keep_freed_memory


def test_glibc_is_told_and_others_are_left_alone(monkeypatch):
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
