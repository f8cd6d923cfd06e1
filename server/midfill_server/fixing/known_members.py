"""Which members the types of a language's own library have: data only, and what people use."""

from __future__ import annotations

import builtins
import re
import sys
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["members_of"]

_SCRIPT = """
Array: at concat copyWithin entries every fill filter find findIndex findLast findLastIndex flat
Array: flatMap forEach includes indexOf join keys lastIndexOf length map pop push reduce
Array: reduceRight reverse shift slice some sort splice toReversed toSorted toSpliced unshift values
String: at charAt charCodeAt codePointAt concat endsWith includes indexOf lastIndexOf length
String: localeCompare match matchAll normalize padEnd padStart repeat replace replaceAll search
String: slice split startsWith substring toLocaleLowerCase toLocaleUpperCase toLowerCase toString
String: toUpperCase trim trimEnd trimStart
Number: toExponential toFixed toLocaleString toPrecision toString valueOf
Map: clear delete entries forEach get has keys set size values
Set: add clear delete entries forEach has keys size values union intersection difference
WeakMap: delete get has set
WeakSet: add delete has
Promise: then catch finally
Function: apply bind call length name prototype toString
Object: constructor hasOwnProperty isPrototypeOf toString valueOf
RegExp: exec flags global lastIndex source test
Date: getDate getDay getFullYear getHours getMilliseconds getMinutes getMonth getSeconds getTime
Date: getTimezoneOffset setDate setFullYear setHours setMinutes setMonth setSeconds setTime
Date: toDateString toISOString toJSON toLocaleDateString toLocaleString toLocaleTimeString
Error: cause message name stack
Iterator: next return throw
ArrayConstructor: from isArray of
ObjectConstructor: assign create defineProperties defineProperty entries freeze fromEntries
ObjectConstructor: getOwnPropertyDescriptor getOwnPropertyNames getPrototypeOf hasOwn is isFrozen
ObjectConstructor: keys setPrototypeOf values
PromiseConstructor: all allSettled any race reject resolve
StringConstructor: fromCharCode fromCodePoint raw
NumberConstructor: EPSILON MAX_SAFE_INTEGER MAX_VALUE MIN_SAFE_INTEGER MIN_VALUE isFinite isInteger
NumberConstructor: isNaN isSafeInteger parseFloat parseInt
DateConstructor: UTC now parse
ErrorConstructor: captureStackTrace
SymbolConstructor: asyncIterator for hasInstance iterator keyFor toStringTag
JSON: parse stringify
Math: PI abs ceil cos exp floor hypot log log10 log2 max min pow random round sign sin sqrt trunc
Console: assert clear count debug dir error group groupEnd info log table time timeEnd trace warn
"""
_SAME = {
    "ReadonlyArray": "Array",
    "ReadonlyMap": "Map",
    "ReadonlySet": "Set",
    "PromiseLike": "Promise",
    "CallableFunction": "Function",
    "NewableFunction": "Function",
    "string": "String",
    "number": "Number",
}
_PYTHON_ALIASES = {"List": "list", "Dict": "dict", "Set": "set", "Tuple": "tuple"}


def _read(table: str) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in table.split("\n"):
        name, _, members = line.partition(":")
        if members:
            found[name] = (*found.get(name, ()), *members.split())
    return MappingProxyType(found)


_MEMBERS = _read(_SCRIPT)


def members_of(language_id: str, type_: str) -> tuple[str, ...]:
    """Return the members of a type, or a module, as a checker writes it; empty for unknown ones."""
    if language_id == "python":
        if type_ in sys.stdlib_module_names:
            # Nothing is imported for this; those that people use mostly are.
            return tuple(one for one in dir(sys.modules.get(type_)) if not one.startswith("_"))
        name = re.match(r"(?:type\[)?(\w+)", type_)
        known = getattr(builtins, _PYTHON_ALIASES.get(name[1], name[1]), None) if name else None
        found = dir(known) if isinstance(known, type) else ()
        return tuple(member for member in found if not member.startswith("_"))
    if not language_id.startswith(("typescript", "javascript")):
        return ()
    return tuple(dict.fromkeys(one for part in type_.split(" | ") for one in _of_script(part)))


def _of_script(type_: str) -> tuple[str, ...]:
    """Return the members of a type of TypeScript that is no union."""
    if type_.endswith("[]") or type_.startswith(("[", "readonly [")):
        return _MEMBERS["Array"]
    if type_[:1] in ("'", '"', "`"):
        return _MEMBERS["String"]
    if "=>" in type_:
        return _MEMBERS["Function"]
    name = re.match(r"\w+", type_)
    if name is None:
        return ()
    return _MEMBERS.get(_SAME.get(name[0], name[0]), ())
