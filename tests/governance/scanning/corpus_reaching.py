"""Attacks by names that no other list has, and pickles that are not where, or what, they seem to be."""

from __future__ import annotations

from collections.abc import Iterator

from tests.governance.scanning.assemble import (
    COMMAND,
    attack,
    blob,
    call,
    mapping,
    name,
    npy,
    pickle,
    stack_name,
    tensor,
    text,
    torch_file,
    zip_file,
    zip_member,
)
from tests.governance.scanning.corpus_pickles import Entry

ARGUMENT = text(COMMAND)
EIGHT = b"\0" * 8
ORDERED = name("collections", "OrderedDict")
# Callables that import, run, open, fetch or write: (module, name, arguments), none of them in the other lists.
REACHING = """
pty:spawn code:interact codeop:compile_command runpy:run_module runpy:_run_module_code bdb:Bdb.run cProfile:runctx
profile:Profile.run timeit:repeat timeit:main trace:Trace.run pdb:runcall pdb:set_trace doctest:testsource
distutils.spawn:spawn distutils.util:execute setuptools.sandbox:run_setup numpy.distutils.exec_command:exec_command
numpy.f2py.diagnose:run_command numpy.f2py.capi_maps:load_f2cmap_file numpy.testing:rundocs numpy.testing:measure
numpy.lib.npyio:loadtxt numpy.lib.npyio:DataSource.open numpy:fromregex numpy:apply_along_axis numpy:frompyfunc
numpy.lib.format:read_array numpy:piecewise scipy.io:loadmat scipy.io:readsav sklearn.datasets:load_files
sklearn.datasets:fetch_openml sklearn.utils._testing:ignore_warnings sklearn.externals.joblib:load joblib:Parallel
joblib.memory:Memory joblib.externals.loky:wrap_non_picklable_objects joblib.parallel:BatchedCalls
joblib.externals.cloudpickle:loads pandas:read_csv pandas:read_sql pandas:eval pandas.io.common:get_handle
pandas.core.computation.eval:eval pandas.core.frame:DataFrame.query torch.utils.model_zoo:load_url
torch.utils.cpp_extension:load torch.utils.cpp_extension:load_inline torch.utils.collect_env:run
torch.utils.bottleneck.__main__:run_cprofile torch.utils._config_module:load_config torch.package:PackageImporter
torch.jit:load torch.jit.unsupported_tensor_ops:execWrapper
torch.fx.experimental.symbolic_shapes:ShapeEnv.evaluate_guards_expression torch.fx.graph_module:_forward_from_src
torch.fx.graph_module:reduce_graph_module torch.hub:load_state_dict_from_url torch._dynamo.guards:GuardBuilder.get
torch._inductor.codecache:write torch.distributed.rpc.api:rpc_sync torch.distributed.launch:main
torch.multiprocessing:spawn torch.serialization:register_package torch:classes.load_library torch._C:import_ir_module
keras.utils:get_file keras.src.utils:get_file keras.saving:deserialize_keras_object tensorflow.keras.models:load_model
tensorflow.io:read_file transformers:pipeline transformers:AutoModel.from_pretrained
transformers.utils.hub:cached_file huggingface_hub:hf_hub_download mlflow.pyfunc:load_model ray.cloudpickle:loads
dask.delayed:delayed celery.utils.imports:instantiate kombu.utils.imports:symbol_by_name fire:Fire invoke:run
paramiko:SSHClient pexpect:spawn sh:Command plumbum:local pathos.helpers:shutdown nltk.downloader:download
IPython:embed IPython.utils.process:system jedi.api:Script mako.template:Template
jinja2.environment:Environment.from_string cffi:FFI.dlopen gi.repository:GLib sympy.parsing.sympy_parser:parse_expr
matplotlib.testing.compare:compare_images urllib.request:urlretrieve urllib:urlopen urllib3:PoolManager requests:get
httplib:HTTPConnection http.server:test ftplib:FTP smtplib:SMTP poplib:POP3 nntplib:NNTP telnetlib:Telnet
imaplib:IMAP4_stream xmlrpc.client:ServerProxy socketserver:TCPServer ssl:wrap_socket asyncio:create_subprocess_shell
asyncio.base_events:BaseEventLoop concurrent.futures:ThreadPoolExecutor multiprocessing.pool:Pool threading:Timer
sched:scheduler signal:signal atexit:register weakref:finalize contextlib:ExitStack faulthandler:register
gc:get_objects inspect:getsource sys:setprofile sys:settrace sys:__stdout__ site:addpackage sysconfig:get_config_vars
platform:popen ctypes:cdll.LoadLibrary ctypes.util:find_library _ctypes:dlopen mmap:mmap fcntl:ioctl
resource:setrlimit shutil:copyfile shutil:unpack_archive tempfile:NamedTemporaryFile tarfile:open zipfile:ZipFile
gzip:open bz2:BZ2File lzma:open fileinput:FileInput linecache:updatecache mailbox:mbox dbm:open shelve:open
sqlite3:connect configparser:ConfigParser.read logging:FileHandler logging.config:listen
logging.handlers:SocketHandler codecs:open io:open io:FileIO _io:open os.path:expandvars posixpath:join ntpath:abspath
posix:fork nt:startfile importlib:reload importlib.util:module_from_spec importlib._bootstrap:_load imp:load_source
zipimport:zipimporter pkgutil:get_loader pkg_resources:run_script ensurepip:bootstrap venv:main pip._internal:main
zipapp:create_archive compileall:compile_file py_compile:compile marshal:load types:CodeType types:new_class
types:MethodType builtins:globals builtins:vars builtins:setattr builtins:delattr builtins:filter builtins:classmethod
builtins:super builtins:memoryview builtins:breakpoint builtins:input __builtin__:execfile __builtin__:file
__builtin__:raw_input __builtin__:apply __builtin__:intern copy_reg:add_extension copyreg:pickle copyreg:constructor
pickle:Unpickler pickle:load _pickle:Unpickler cPickle:loads dill:load dill._dill:_create_function
cloudpickle.cloudpickle:_make_function cloudpickle.cloudpickle:subimport jsonpickle:decode operator:attrgetter
operator:itemgetter operator:call _operator:methodcaller functools:reduce functools:partialmethod
functools:cached_property functools:lru_cache functools:singledispatch dataclasses:make_dataclass
dataclasses:_create_fn enum:Enum collections:namedtuple string:Formatter email:message_from_file xml.dom.minidom:parse
xml.sax:parse pyexpat:ParserCreate turtle:write_docstringdict tkinter:Tcl idlelib.run:Executive
idlelib.autocomplete:AutoComplete.get_entity lib2to3.refactor:get_all_fix_names lib2to3.pgen2.pgen:ParserGenerator
test.support.script_helper:spawn_python unittest:main pytest:main _pytest.config:main pydoc:safeimport pydoc:ispath
pyclbr:readmodule rlcompleter:Completer symtable:symtable modulefinder:ModuleFinder.run_script pstats:Stats
tracemalloc:Snapshot.load antigravity:geohash this:s winreg:ConnectRegistry _winapi:CreateProcess
win32com.client:Dispatch msilib:OpenDatabase crypt:crypt nis:match syslog:syslog termios:tcsetattr tty:setraw
readline:read_init_file curses:initscr webbrowser:BackgroundBrowser _posixsubprocess:fork_exec _socket:socket
_ssl:_SSLContext _sqlite3:connect _thread:start_new_thread _testcapi:run_in_subinterp
_frozen_importlib_external:SourceFileLoader _bootsubprocess:Popen commands:getstatusoutput popen2:popen3
django.core.management:call_command pyspark.serializers:CloudPickleSerializer keyring:get_password psutil:Popen
wsgiref.simple_server:make_server uuid:_popen random:_os.system pathlib:os.system
"""


def reaching() -> list[Entry]:
    """Return each such callable in one of four spellings, in turn: four protocols, called or hidden in a state."""
    entries = []
    for place, full in enumerate(REACHING.split()):
        module, _, attribute = full.partition(":")
        spelled = (name if place % 2 else stack_name)(module, attribute)
        called = call(spelled, ARGUMENT)
        hidden = ORDERED + b")R" + mapping(hook=called) + b"b"
        body = (called, hidden, b"](" + called + b"e", called + b"0" + call(ORDERED))[place % 4]
        protocol = (4, 0 if place % 2 else 4, 2, 3)[place % 4]
        # Protocols 0 and 1 have the same opcodes here, without a mark in front.
        entries.append(
            (
                "reaching",
                f"{place}-{attribute[:20]}{('.pkl', '.joblib', '.bin', '.pt')[place % 4]}",
                pickle(body, protocol),
            )
        )
    return entries


FAR = b"S'" + b"x" * 70_000 + b"'\n0" + b"cos\nsystem\n(S'id'\ntR."
PADDED = b"".join(b"S'%d'\n0" % index for index in range(20_000)) + b"cos\nsystem\n(S'id'\ntR."
STREAMS: dict[str, bytes] = {
    "far": FAR,
    "far.weights": FAR,
    "far.txt": FAR,
    "padded": PADDED,
    "second": b"N." + b"cos\nsystem\n(S'id'\ntR.",
    "third.weights": b"N.I1\n." + b"cos\nsystem\n(S'id'\ntR.",
    "padded.md": PADDED,
    "with-bom.pkl": b"\xef\xbb\xbf" + attack(),
    "behind-line-end.pkl": b"\n" + attack(),
    "two-protocols.pkl": b"\x80\x02\x80\x04" + attack()[2:],
    "protocol-late.pkl": b"N0\x80\x04" + attack()[2:],
    "protocol-six.pkl": b"\x80\x06" + attack()[2:],
    "protocol-255.pkl": b"\x80\xff" + attack()[2:],
    "frame-of-nothing.pkl": b"\x80\x04\x95" + b"\0" * 8 + attack()[2:],
    "frame-of-everything.pkl": b"\x80\x04\x95" + b"\xff" * 8 + attack()[2:],
    "frame-in-argument.pkl": b"\x80\x04\x95\x03\0\0\0\0\0\0\0X\x04\0\0\0abcd0" + attack()[2:],
    "stop-in-frame.pkl": b"\x80\x04\x95\x02\0\0\0\0\0\0\0N." + attack(),
    "three-pickles.pkl": pickle(b"]") * 2 + attack(),
    "pickle-then-zip.pkl": pickle(b"]") + torch_file(attack()),
    "zip-then-pickle.pt": torch_file(pickle(tensor(), 2)) + attack(),
    "pickle-of-pickle.pkl": pickle(call(name("_pickle", "loads"), blob(attack()))),
    "old-torch-first.pt": attack() + torch_file(pickle(tensor(), 2)),
    "npy-twice.npy": npy("|O", (1,), pickle(b"]")) + attack(),
    "npz-object.npz": zip_file(
        [zip_member("a.npy", npy("|O", (), attack())), zip_member("b.npy", npy("<f8", (), b"\0" * 8))]
    ),
}


def in_streams() -> Iterator[Entry]:
    """Yield files in which a pickle is not where, or what, it seems to be."""
    for label, data in STREAMS.items():
        yield "odd-stream", label, data
