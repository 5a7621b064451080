"""The surface of `tensorrt`: the names of one version and nothing else, with their arguments checked.

What a version lacks is an AttributeError, as on the real module. What it has and the fake does not do is a
`FakeTensorRTError`. Behind a public object stands an `Impl`, which does the work and sees no surface.
"""

from __future__ import annotations

import functools
import inspect
import re
import weakref
from types import ModuleType
from typing import Any, ClassVar

from .fake_cuda import FakeDevice
from .trt_arguments import FUNCTIONS, OVERLOADED, Parameter, parameters
from .trt_enums import Enumeration

# Classes whose methods the user writes, and NVIDIA calls.
INHERITED = ("ILogger", "IProfiler", "IProgressMonitor")


class FakeTensorRTError(AssertionError):
    """The code under test breaks a rule of TensorRT, or touches what the fake does not know."""


class Impl:
    """What stands behind an object of the class `kind`. `settable` properties are plain attributes."""

    kind: ClassVar[str]
    settable: ClassVar[tuple[str, ...]] = ()
    # Kept alive as long as the public object, as the bindings' keep_alive does.
    keeps: Any = None
    wrapper: Any = None

    def dropped(self) -> None:
        """The public object is gone."""


class Checked(type):
    """The type of every public class."""

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        thing = super().__call__(*arguments, **named)
        if getattr(thing, "_self", None) is None:
            base = next(c.__name__ for c in cls.__mro__ if "_self" not in vars(c) and c.__name__ in INHERITED)
            raise TypeError(f"tensorrt.{base}.__init__() must be called when overriding __init__")
        return thing


class Public(metaclass=Checked):
    """The base of every public class: nothing but the place for what stands behind."""

    __slots__ = ("__weakref__", "_self")
    _api: ClassVar[Any]

    def __del__(self) -> None:
        behind = getattr(self, "_self", None)
        if behind is not None:
            behind.dropped()


class _Member:
    """A method or property of a public class: touched, it is remembered."""

    def __init__(self, api: Any, owner: str, name: str) -> None:
        self.api, self.owner, self.name = api, owner, name
        self.label = f"{owner}.{name}"

    def behind(self, thing: Any) -> Any:
        self.api.used.add(self.label)
        behind = None if thing is None else thing._self
        if thing is not None and not hasattr(behind, self.name):
            self.api.refuse(f"the fake does not know {self.label}; teach it")
        return behind


class Method(_Member):
    def __init__(self, api: Any, owner: str, name: str, text: str) -> None:
        super().__init__(api, owner, name)
        self.parameters = parameters(text) if "*args" not in text else None
        if self.label in OVERLOADED and self.parameters is None:
            self.parameters = parameters(OVERLOADED[self.label])

    def __get__(self, thing: Any, owner: Any = None) -> Any:
        behind = self.behind(thing)
        if thing is None:
            return lambda thing, *arguments, **named: self.__get__(thing)(*arguments, **named)

        @functools.wraps(getattr(behind, self.name))
        def call(*arguments: Any, **named: Any) -> Any:
            given = self.api.bind(self.label, self.parameters, arguments, named)
            return self.api.public(getattr(behind, self.name)(*given))

        return call


class Property(_Member):
    def __get__(self, thing: Any, owner: Any = None) -> Any:
        behind = self.behind(thing)
        return self if thing is None else self.api.public(getattr(behind, self.name))

    def __set__(self, thing: Any, value: Any) -> None:
        behind = self.behind(thing)
        if self.name not in behind.settable:
            self.api.refuse(f"the fake does not let {self.label} be set; teach it")
        setattr(behind, self.name, self.api.private(value))


class Constant:
    """A class attribute that is a member of a nested enum: Logger.WARNING."""

    def __init__(self, api: Any, label: str, value: Any) -> None:
        self.api, self.label, self.value = api, label, value

    def __get__(self, thing: Any, owner: Any = None) -> Any:
        self.api.used.add(self.label)
        return self.value


class Surface(ModuleType):
    """The module: exactly the names of the version."""

    def __init__(self, api: Any, names: dict[str, Any], version: str) -> None:
        super().__init__("tensorrt")
        vars(self).update(_names=names, fake=api, __version__=version)

    def __getattr__(self, name: str) -> Any:
        names = vars(self)["_names"]
        if name.startswith("__") or name not in names:
            raise AttributeError(f"module 'tensorrt' has no attribute {name!r}")
        vars(self)["fake"].used.add(name)
        return names[name]


class Api:
    """One version's classes, enums and functions, over the implementations."""

    def __init__(
        self, table: dict[str, Any], device: FakeDevice, impls: dict[str, type[Impl]], functions: dict[str, Any]
    ) -> None:
        self.device, self.version = device, table["__version__"]
        self.used: set[str] = set()
        self.names: dict[str, Any] = {}
        self._impls = impls
        for name, entry in table.items():
            if name == "__functions__":
                self.names.update({f: self._function(f, functions.get(f)) for f in entry})
            elif isinstance(entry, dict) and entry["kind"] == "enum":
                self.names[name] = Enumeration(name, entry["members"], self)
        severity = table.get("ILogger", table.get("Logger", {})).get("enums", {}).get("Severity", {})
        self._severity = Enumeration("Severity", severity, self, label="ILogger.Severity", ordered=True)
        # ILogger first: Logger inherits from it.
        classes = [n for n, entry in table.items() if isinstance(entry, dict) and entry["kind"] == "class"]
        for name in sorted(classes, key=lambda n: n != "ILogger"):
            self.names[name] = self._class(name, table[name])

    def refuse(self, problem: str) -> Any:
        """Ends the call; the device remembers it."""
        self.device.refuse(problem, FakeTensorRTError)

    def member(self, enum: str, name: str) -> Any:
        """A member, None where the version lacks it. Not counted as used."""
        return self.names[enum]._members.get(name) if enum in self.names else None

    def _function(self, name: str, behind: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if behind is None:
                self.refuse(f"the fake does not know {name}; teach it")
            given = self.bind(name, parameters(FUNCTIONS[name]), arguments, named)
            return self.public(behind(self, *given))

        call.__name__ = name
        return call

    def _class(self, name: str, entry: dict[str, Any]) -> type:
        impl = self._impls.get(name)
        bases: tuple[type, ...] = (Public,)
        if name == "Logger" and "ILogger" in self.names:
            bases = (self.names["ILogger"],)
        if impl is not None and issubclass(impl, bytearray):
            return impl
        space: dict[str, Any] = {"__slots__": (), "_api": self, "__module__": "tensorrt.tensorrt"}
        for method, text in entry["methods"].items():
            space[method] = Method(self, name, method, text)
        for prop in entry["properties"]:
            space[prop] = Property(self, name, prop)
        for nested, members in entry.get("enums", {}).items():
            space[nested] = Constant(self, f"{name}.{nested}", self._severity)
            for member in set(members) & set(entry["properties"]):
                space[member] = Constant(self, f"{name}.{member}", self._severity._members[member])
        text = OVERLOADED.get(f"{name}.__init__", entry["init"])
        space["__init__"] = self._constructor(
            name, impl, parameters(text) if text.startswith(("__init__(self", "(self")) else None
        )
        if impl is not None:
            special = {"__len__", "__iter__", "__getitem__", "__eq__", "__hash__", "__repr__", "__str__"}
            for dunder in special & set(vars(impl)):
                space[dunder] = self._special(dunder)
        return Checked(name, bases, space)

    @staticmethod
    def _special(dunder: str) -> Any:
        return lambda thing, *arguments: getattr(thing._self, dunder)(*arguments)

    def _constructor(self, name: str, impl: type[Impl] | None, wanted: list[Parameter] | None) -> Any:
        def construct(thing: Any, *arguments: Any, **named: Any) -> None:
            if impl is None:
                self.refuse(f"the fake does not know {name}; teach it")
            if wanted is None:
                raise TypeError(f"tensorrt.{name}: No constructor defined!")
            thing._self = impl(self, *self.bind(f"{name}.__init__", wanted, arguments, named))
            thing._self.wrapper = weakref.ref(thing)

        return construct

    # Between the surface and what is behind ---------------------------------------------------------------------------

    def public(self, value: Any) -> Any:
        """VALUE as the code under test gets it."""
        if isinstance(value, list):
            return [self.public(item) for item in value]
        if isinstance(value, tuple):
            value = self._impls["Dims"](self, value)
        if not isinstance(value, Impl) or isinstance(value, bytearray):
            return value
        known = value.wrapper() if value.wrapper is not None else None
        if known is None:
            known = object.__new__(self.names[value.kind])
            known._self = value
            value.wrapper = weakref.ref(known)
        return known

    def private(self, value: Any) -> Any:
        """VALUE as the implementation wants it. What the user wrote himself stays."""
        if not isinstance(value, Public) or any(c.__name__ in INHERITED for c in type(value).__mro__):
            return value
        return tuple(value) if type(value).__name__.startswith("Dims") else value._self

    def bind(
        self, label: str, wanted: list[Parameter] | None, arguments: tuple[Any, ...], named: dict[str, Any]
    ) -> list[Any]:
        """The arguments in order, as pybind11 takes them."""
        if wanted is None:
            self.refuse(f"the fake does not know the arguments of {label}; teach it")
        try:
            kinds = [
                inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
                for name, _, default in wanted
            ]
            given = inspect.Signature(kinds).bind(*arguments, **named).arguments
        except TypeError as error:
            raise TypeError(f"{label}(): incompatible function arguments: {error}") from None
        values = []
        for name, kind, _ in wanted:
            if name not in given:
                break
            if not self._fits(given[name], kind):
                raise TypeError(
                    f"{label}(): incompatible function arguments: {name} is {kind}, not {type(given[name]).__name__}"
                )
            values.append(tuple(map(int, given[name])) if kind == "Dims" else self.private(given[name]))
        return values

    def _fits(self, value: Any, kind: str) -> bool:
        short = re.split(r"::|\.", kind)[-1]
        if short in ("int", "SupportsInt"):
            return not isinstance(value, str | float) and (hasattr(value, "__index__") or hasattr(value, "__int__"))
        if short in ("str", "bool"):
            return isinstance(value, {"str": str, "bool": bool}[short]) or (value is None and kind == "str")
        if short.lower() == "buffer":
            try:
                memoryview(value)
            except TypeError:
                return False
            return True
        if short == "Dims":
            try:
                return all(hasattr(side, "__index__") for side in value)
            except TypeError:
                return False
        known = self.names.get(short)
        if kind == "ILogger.Severity":
            known = self._severity
        return not isinstance(known, type) or isinstance(value, known)
