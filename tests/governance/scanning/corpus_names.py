"""Globals for the corpus: ones that run code or reach outside, and ones that nobody has vetted."""

_DANGEROUS = """
os.system posix.system nt.system os.popen os.execv os.remove subprocess.Popen subprocess.run subprocess.check_output
builtins.eval builtins.exec builtins.compile builtins.getattr builtins.__import__ builtins.open builtins.setattr
builtins.map __builtin__.eval __builtin__.apply __builtin__.reduce importlib.import_module runpy.run_path
runpy._run_code pty.spawn socket.create_connection urllib.request.urlopen http.client.HTTPSConnection
webbrowser.open shutil.rmtree sys.exit ctypes.CDLL marshal.loads pickle.loads _pickle.loads dill.loads
cloudpickle.loads code.InteractiveInterpreter types.FunctionType types.CodeType functools.partial
operator.attrgetter operator.methodcaller _operator.methodcaller pkgutil.resolve_name pydoc.locate pydoc.pipepager
timeit.timeit cProfile.run profile.run pdb.run bdb.Bdb trace.Trace doctest.debug_script logging.FileHandler
asyncio.run multiprocessing.Process threading.Thread tempfile.mktemp zipimport.zipimporter platform.popen
commands.getoutput idlelib.pyshell.ModifiedInterpreter lib2to3.pgen2.grammar.Grammar imaplib.IMAP4_stream torch.load
torch.hub.load torch.jit.load torch.serialization.load torch._dynamo.guards.GuardBuilder
torch._inductor.codecache.compile_file numpy.load numpy.fromfile numpy.f2py.crackfortran.getlincoef
numpy.testing._private.utils.runstring numpy.ctypeslib.load_library numpy.core._ufunc_reconstruct joblib.load
joblib.numpy_pickle.load joblib.memory.MemorizedFunc pandas.read_pickle pandas.io.pickle.read_pickle
django.utils.module_loading.import_string kombu.utils.imports.symbol_by_name hydra.utils.instantiate
keras.models.load_model transformers.dynamic_module_utils.get_class_from_dynamic_module
huggingface_hub.snapshot_download jinja2.Template sqlite3.connect ensurepip._run_pip venv.create pip.main
distutils.file_util.write_file site.main _osx_support._read_output _aix_support._read_cmd_output
_pyrepl.pager.pipe_pager uuid._get_command_stdout ssl.get_server_certificate linecache.getlines fileinput.input
io.FileIO _io.FileIO
"""

_UNKNOWN = """
torch.utils.data.dataloader._MultiProcessingDataLoaderIter fastai.learner.Learner mymodule.MyClass antlr4.Foo
torchvision.models.resnet.ResNet __main__.Model statsmodels.tools.eval_measures.rmse xarray.open_dataset
ultralytics.nn.tasks.DetectionModel numpy.lookfor numpy.random.seed sklearn.utils.fixes.threadpool_limits
scipy.datasets.face collections.abc.Callable sklearn.model_selection._validation.cross_val_score
torch.nn.modules.lazy.LazyModuleMixin torch.autograd.grad
"""

DANGEROUS = tuple(_DANGEROUS.split())
UNKNOWN = tuple(_UNKNOWN.split())
