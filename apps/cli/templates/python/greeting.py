"""What there is to test needs neither a server nor the SDK."""

from typing import Optional


def greet(greeting: str, name: Optional[str]) -> str:
    return f"{greeting}, {name or 'world'}!"
