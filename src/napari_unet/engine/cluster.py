"""An existing Dask cluster as more hands: the same functions, on other machines."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_unet import __version__
from napari_unet.errors import ComputeError, SettingsError, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sized

    from distributed import Client

    from napari_unet.progress import CancelToken

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE = 10.0  # seconds until a scheduler that does not answer is given up
AHEAD = 3  # tasks for each thread or worker that the scheduler knows of; of billions it would know too much
LOOK = 50  # tasks after which threads and workers are counted again: workers come and go
_SHARED: dict[str, Any] = {}  # in a worker: what was sent once and is used by many tasks
_MADE: dict[str, Any] = {}  # in a worker: what was made of it


class Cluster:
    """A connection to a scheduler.

    Parameters
    ----------
    client : distributed.Client
        Connected; it stays open unless ``connect`` made it.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.address = str(client.scheduler.address) if client.scheduler is not None else "the scheduler"

    @property
    def threads(self) -> int:
        """Of all workers, at least 1."""
        return max(1, sum(int(count) for count in self.client.nthreads().values()))

    @property
    def workers(self) -> int:
        """At least 1."""
        return max(1, len(self.client.nthreads()))

    def check(self, paths: Iterable[str] = ()) -> None:
        """See whether all workers can do the work.

        Parameters
        ----------
        paths : iterable of str
            That every worker must see.

        Raises
        ------
        SettingsError
            If there is no worker, one lacks this program or has another version, or does not see a path.
        """
        found = {"scheduler": self._scheduler(), **self.client.run(_look, list(paths))}
        if len(found) == 1:
            raise SettingsError(
                f"the cluster {self.address} has no workers",
                code="settings.cluster.empty",
                expected="one or more",
                remedy="start some",
            )
        for worker, (version, lacking) in found.items():
            if version != __version__:
                raise SettingsError(
                    f"{worker} of the cluster has another version of this program",
                    code="settings.cluster.version",
                    expected=__version__,
                    got=version,
                    remedy="install the same everywhere",
                )
            if lacking:
                raise SettingsError(
                    f"the worker {worker} of the cluster does not see {lacking[0]}",
                    code="settings.cluster.storage",
                    expected="storage that all machines share, under the same path",
                    remedy="put image and result there",
                )

    def _scheduler(self) -> tuple[str, list[str]]:
        """What the scheduler has, which reads tasks before it passes them on."""
        try:
            answer: tuple[str, list[str]] = self.client.run_on_scheduler(_look, [])
        except (ImportError, RuntimeError) as error:
            raise SettingsError(
                "the scheduler of the cluster does not know this program",
                code="settings.cluster.version",
                expected=f"version {__version__}",
                reason=str(error).splitlines()[0],
                remedy="install the same everywhere",
            ) from error
        return answer

    @contextmanager
    def shared(self, name: str, value: object) -> Iterator[None]:
        """Send something once to each worker, those that come later included; tasks find it by its name."""
        from distributed import WorkerPlugin

        class Shared(WorkerPlugin):  # type: ignore[misc]
            def setup(self, worker: Any) -> None:
                from napari_unet.engine import cluster

                cluster.keep(name, value)

            def teardown(self, worker: Any) -> None:
                from napari_unet.engine import cluster

                cluster.forget(name)

        self.client.register_plugin(Shared(), name=name)
        try:
            yield
        finally:
            if self.client.status == "running":
                self.client.unregister_worker_plugin(name)

    def spread(
        self, function: Callable[[Item], Result], items: Iterable[Item], cancel: CancelToken
    ) -> Iterator[tuple[Item, Result]]:
        """Call a function on the workers for each item; results come in the order in which they are there.

        A task whose worker dies is done again by another.

        Parameters
        ----------
        function : callable
            Found by its name in the workers; takes an item.
        items : iterable
            Few of them are on their way at any time, so there may be any number.
        cancel : CancelToken
            Looked at between results; what is on its way is called off then.

        Yields
        ------
        item, result
            Of each.

        Raises
        ------
        WorkbenchError
            Whatever the function raises.
        ComputeError
            If the scheduler is gone, or a task ended one worker after another.
        Cancelled
            When the token was set.
        """
        for _, item, result in self._spread(function, items, cancel, lambda: self.threads):
            yield item, result

    def spread_in_order(
        self, function: Callable[[Item], Result], items: Iterable[Item], cancel: CancelToken
    ) -> Iterator[tuple[Item, Result]]:
        """As ``spread``, but results come in the order of the items; for results that take much memory.

        Of each worker no more than three are on their way or wait for one before them.
        """
        early: dict[int, tuple[Item, Result]] = {}
        following = 0
        for number, item, result in self._spread(function, items, cancel, lambda: self.workers, early):
            early[number] = item, result
            while following in early:
                yield early.pop(following)
                following += 1

    def _spread(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        cancel: CancelToken,
        hands: Callable[[], int],
        held: Sized = (),
    ) -> Iterator[tuple[int, Item, Result]]:
        """Number, item and result of each as they come; what the caller holds back counts as on its way."""
        from distributed import as_completed

        waiting = enumerate(items)
        on_the_way: dict[str, tuple[int, Item]] = {}
        completed = as_completed(loop=self.client.loop)

        def send() -> bool:
            for number, item in waiting:
                future = self.client.submit(function, item, pure=False)
                on_the_way[future.key] = number, item
                completed.add(future)
                return True
            return False

        try:
            most = AHEAD * hands()
            while len(on_the_way) < most and send():
                pass
            count = 0
            while on_the_way:
                future = self._next(completed, cancel)
                yield *on_the_way.pop(future.key), self._result(future)
                count += 1
                if count % LOOK == 0:
                    most = AHEAD * hands()
                while len(on_the_way) + len(held) < most and send():
                    pass
        finally:
            if self.client.status == "running":
                self.client.cancel(list(completed.futures), force=True)

    def _next(self, completed: Any, cancel: CancelToken) -> Any:
        """The next result, while looking whether it is wanted any more."""
        while True:
            cancel.check()
            if self.client.status not in {"running", "connecting"}:
                raise self._gone(self.client.status)
            with completed.thread_condition:
                # Looked at with the lock held: what comes in between would be waited for in vain.
                if not completed.has_ready():
                    completed.thread_condition.wait(0.2)
            if completed.has_ready():
                return next(completed)

    def _result(self, future: Any) -> Any:
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            return future.result()
        except WorkbenchError:
            raise
        except KilledWorker as error:
            raise ComputeError(
                "a task ended one worker after another",
                code="compute.worker.ended",
                reason=str(error).splitlines()[0],
                remedy="give less with --memory, or the workers more; finished blocks stay",
            ) from error
        except (CancelledError, OSError) as error:
            raise self._gone(error) from error

    def _gone(self, reason: object) -> ComputeError:
        return ComputeError(
            f"the scheduler {self.address} is gone",
            code="compute.scheduler.gone",
            reason=str(reason) or type(reason).__name__,
            remedy="start it again and continue: finished blocks stay",
        )


@contextmanager
def connect(address: str | Client) -> Iterator[Cluster]:
    """Connect to a scheduler.

    Parameters
    ----------
    address : str or distributed.Client
        Like "tcp://host:8786", or a scheduler file's path; a client is taken as it is, and stays open.

    Raises
    ------
    SettingsError
        If it does not answer, or the extra ``cluster`` is not installed.
    """
    if not isinstance(address, str):
        yield Cluster(address)
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise SettingsError(
            "a cluster needs the package distributed",
            code="settings.package.missing",
            remedy="pip install 'napari-unet-workbench[cluster]'",
        ) from error
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client = Client(**where, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(
            f"there is no scheduler at {address}",
            code="settings.cluster.missing",
            expected="an address like tcp://host:8786",
            reason=" ".join(str(error).split())[:120],
            remedy="start one with `dask scheduler`",
        ) from error
    with client:
        yield Cluster(client)


def _look(paths: list[str]) -> tuple[str, list[str]]:
    """In a worker: which version it has, and which paths it does not see."""
    from napari_unet import __version__ as version

    return version, [path for path in paths if not Path(path).exists()]


def keep(name: str, value: object) -> None:
    """In a worker: keep what was sent."""
    _SHARED[name] = value


def forget(name: str) -> None:
    """In a worker: let go of what was sent and of what was made of it."""
    _SHARED.pop(name, None)
    _MADE.pop(name, None)


def made_of(name: str, make: Callable[[Any], Result]) -> Result:
    """In a worker: what `make` makes of what was sent, made once; callers come one at a time."""
    if name not in _MADE:
        _MADE[name] = make(_SHARED[name])
    made: Result = _MADE[name]
    return made


def shared_path(data: object) -> Path:
    """The absolute path of data that a cluster's machines share.

    Raises
    ------
    SettingsError
        If the data are in no file.
    """
    if not isinstance(data, Path):
        raise SettingsError(
            "a cluster cannot read these images",
            code="settings.cluster.storage",
            expected="a data set on storage that all machines share",
            remedy="leave out the cluster",
        )
    return data.expanduser().resolve()
