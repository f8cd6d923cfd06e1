"""Which module of a standard library has a name: data only, and only what people use often."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["MODULES"]

_PYTHON = """
pathlib: Path PurePath PurePosixPath PosixPath WindowsPath
dataclasses: dataclass field fields asdict astuple replace is_dataclass
collections: defaultdict Counter OrderedDict deque namedtuple ChainMap UserDict UserList
collections.abc: Iterable Iterator Sequence Mapping MutableMapping Callable Generator Collection
collections.abc: MutableSequence Hashable Sized Container Awaitable Coroutine AsyncIterator
functools: partial wraps lru_cache cache cached_property reduce singledispatch total_ordering
itertools: chain islice product groupby repeat cycle count permutations combinations zip_longest
itertools: accumulate takewhile dropwhile starmap tee pairwise
datetime: datetime timedelta date timezone
enum: Enum IntEnum StrEnum Flag IntFlag auto unique
abc: ABC ABCMeta abstractmethod
contextlib: contextmanager suppress ExitStack nullcontext closing asynccontextmanager
contextlib: redirect_stdout AsyncExitStack
decimal: Decimal
fractions: Fraction
threading: Thread Lock RLock Event Condition Semaphore Timer
queue: Queue Empty Full PriorityQueue
concurrent.futures: ThreadPoolExecutor ProcessPoolExecutor Future as_completed
textwrap: dedent indent wrap
copy: deepcopy
io: StringIO BytesIO TextIOWrapper
time: sleep perf_counter monotonic
types: TracebackType SimpleNamespace ModuleType MappingProxyType FunctionType GeneratorType
operator: itemgetter attrgetter methodcaller
uuid: uuid4 UUID
math: sqrt ceil floor pi isclose gcd
random: randint choice shuffle
unittest: TestCase
unittest.mock: Mock MagicMock patch
urllib.parse: urlparse urljoin quote unquote urlencode
urllib.request: urlopen
tempfile: TemporaryDirectory NamedTemporaryFile
argparse: ArgumentParser Namespace
subprocess: Popen PIPE CalledProcessError
html: escape
shutil: rmtree copyfile
string: Template ascii_letters digits
inspect: isclass signature
logging: getLogger
weakref: WeakKeyDictionary WeakValueDictionary
typing_extensions: Self TypeAlias Literal Protocol
numpy as np: np
pandas as pd: pd
matplotlib.pyplot as plt: plt
pytest: pytest
"""
_GO = """
fmt: fmt
os: os
io: io
strings: strings
strconv: strconv
errors: errors
time: time
sync: sync
sort: sort
math: math
bytes: bytes
bufio: bufio
context: context
regexp: regexp
log: log
reflect: reflect
path: path
slices: slices
maps: maps
unicode: unicode
testing: testing
encoding/json: json
net/http: http
net/url: url
path/filepath: filepath
math/rand: rand
os/exec: exec
sync/atomic: atomic
unicode/utf8: utf8
"""
_RUST = """
std::collections: HashMap HashSet BTreeMap BTreeSet VecDeque BinaryHeap
std::fmt: Display Debug Formatter
std::fs: File
std::io: Read Write BufRead BufReader BufWriter
std::path: Path PathBuf
std::rc: Rc
std::sync: Arc Mutex RwLock
std::cell: RefCell Cell
std::time: Duration Instant
std::str: FromStr
std::borrow: Cow
"""
_C = """
stdio.h: printf fprintf snprintf puts scanf FILE fopen fclose fgets perror stderr stdout
stdlib.h: malloc calloc realloc free exit atoi qsort abort getenv
string.h: strlen strcmp strncmp strcpy memcpy memset memmove strchr strstr strdup
stdbool.h: bool true false
stdint.h: uint8_t uint16_t uint32_t uint64_t int8_t int16_t int32_t int64_t
stddef.h: size_t NULL
math.h: sqrt pow sin cos fabs floor ceil
ctype.h: isdigit isalpha isspace toupper tolower
assert.h: assert
errno.h: errno
"""
_JAVA = """
java.util: List Map Set ArrayList HashMap HashSet Optional Collections Arrays Iterator Objects
java.io: IOException File InputStream
java.nio.file: Path Files Paths
java.util.stream: Collectors Stream
"""


def _read(rows: str) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in rows.strip().splitlines():
        module, _, names = row.partition(": ")
        for name in names.split():
            found[name] = (*found.get(name, ()), module)
    return MappingProxyType(found)


def _java(rows: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    whole = {name: tuple(f"{one}.{name}" for one in modules) for name, modules in rows.items()}
    return MappingProxyType(whole)


MODULES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "python": _read(_PYTHON),
        "go": _read(_GO),
        "rust": _read(_RUST),
        "c": _read(_C),
        "cpp": _read(_C),
        "java": _java(_read(_JAVA)),
    }
)
"""By language and name: the modules, the likeliest first. ``a as b`` is imported as such."""
