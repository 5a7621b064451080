"""Enums as pybind11 makes them."""

from __future__ import annotations

from typing import Any


class Enumeration(type):
    """An enum as pybind11 makes it: members are attributes, with a number and a name."""

    def __new__(
        mcs, name: str, _: dict[str, int], api: Any, *, label: str | None = None, ordered: bool = False
    ) -> Enumeration:
        return super().__new__(mcs, name, (Member,), {"_api": api, "_label": label or name, "_ordered": ordered})

    def __init__(cls, name: str, members: dict[str, int], *_: Any, **__: Any) -> None:
        super().__init__(name, (Member,), {})
        cls._members: dict[str, Any] = {}
        for key, value in members.items():
            member = object.__new__(cls)
            member.name, member.value = key, value
            cls._members[key] = member

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_") or name not in cls._members:
            raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
        cls._api.used.add(f"{cls._label}.{name}")
        return cls._members[name]

    def __call__(cls, value: int) -> Any:
        for member in cls._members.values():
            if member.value == int(value):
                return member
        cls._api.refuse(f"{cls.__name__}({value}): no member has this value")

    @property
    def __members__(cls) -> dict[str, Any]:
        return dict(cls._members)


class Member:
    """One member of an enum."""

    name: str
    value: int

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value  # type: ignore[attr-defined]

    def __le__(self, other: Any) -> bool:
        return self._compare(other) <= 0

    def __lt__(self, other: Any) -> bool:
        return self._compare(other) < 0

    def __ge__(self, other: Any) -> bool:
        return self._compare(other) >= 0

    def __gt__(self, other: Any) -> bool:
        return self._compare(other) > 0

    def _compare(self, other: Any) -> int:
        if not type(self)._ordered:  # type: ignore[attr-defined]
            raise TypeError(f"members of {type(self).__name__} have no order")
        return self.value - int(other)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {self.value}>"

    def __str__(self) -> str:
        return f"{type(self).__name__}.{self.name}"
