import unittest

from greeting import greet


class GreetingTest(unittest.TestCase):
    def test_it_greets_by_name(self) -> None:
        self.assertEqual(greet("Hello", "Ada"), "Hello, Ada!")

    def test_it_greets_everybody_without_one(self) -> None:
        self.assertEqual(greet("Hello", None), "Hello, world!")


if __name__ == "__main__":
    unittest.main()
