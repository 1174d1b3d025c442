"""Runs the test cases of a module of python's own suite, and says how each ended in a line of its own on standard output."""
import multiprocessing
import os
import sys
import unittest
from test import support

if __name__ == '__main__':
    # Out of the way of tests that count or close descriptors, and of those that replace standard output.
    report = os.dup(1)
    os.set_inheritable(report, False)


class Result(unittest.TextTestResult):
    def tell(self, test, ending):
        os.write(report, f'\ncase\t{ending}\t{test.id()}\n'.encode())

    def startTest(self, test):
        super().startTest(test)
        self.tell(test, 'starts')

    def addSuccess(self, test):
        super().addSuccess(test)
        self.tell(test, 'passes')

    def addExpectedFailure(self, test, error):
        super().addExpectedFailure(test, error)
        self.tell(test, 'passes')

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(test, 'is skipped')

    def addError(self, test, error):
        super().addError(test, error)
        self.tell(test, 'fails')

    def addFailure(self, test, error):
        super().addFailure(test, error)
        self.tell(test, 'fails')

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.tell(test, 'fails')

    def addSubTest(self, test, part, error):
        super().addSubTest(test, part, error)
        if error is not None:
            self.tell(test, 'fails')


# Between the host and its own host: they wait for ever where there is one that does not answer.
NOT_OURS = ('test.test_socket.BasicVSOCKTest.', 'test.test_socket.ThreadedVSOCKSocketStreamTest.')
# Those that ask for the network and mean the machine itself.
OVER_LO = ('test_socketserver',)


def ours(suite):
    kept = unittest.TestSuite()
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            kept.addTest(ours(part))
        elif not part.id().startswith(NOT_OURS):
            kept.addTest(part)
    return kept


def without_children(tear_down):
    """What a case left running when it failed would be waited for at the module's end, for ever, natively too."""
    def ended():
        for child in multiprocessing.active_children():
            child.kill()
        tear_down()
    return ended


# Processes that are spawned read this file again.
if __name__ == '__main__':
    support.use_resources = ['cpu', *(['network'] if sys.argv[1] in OVER_LO else [])]
    name = 'test.' + sys.argv[1]
    __import__(name)
    module = sys.modules[name]
    if hasattr(module, 'tearDownModule'):
        module.tearDownModule = without_children(module.tearDownModule)
    suite = ours(unittest.defaultTestLoader.loadTestsFromModule(module))
    unittest.TextTestRunner(sys.stderr, verbosity=2, resultclass=Result).run(suite)
