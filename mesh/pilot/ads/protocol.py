"""The xDS protocol of one stream as a state machine without I/O: requests and views in, responses out.

Delta and state-of-the-world share it; they differ in how a request changes the subscription and in what a
message must carry. The order between types is made here, so that no route ever leads to a cluster that the
client does not have yet, or has no longer (make before break):

1. clusters that are new or changed, and the endpoints that they wait for;
2. listeners and routes, once the client has accepted both;
3. clusters and endpoints that are gone, once listeners and routes are accepted. A client that refused a
   listener or route keeps the clusters which its last good one may use.

Secrets wait for nothing and nothing of the above waits for them: what needs one warms until it comes. They go
first: with a new revocation list come listeners and clusters whose connections are made again, and those must
meet that list.

The machine has no clock. Its shell calls `release` when something has been held for too long.
"""

from collections.abc import Iterator, Mapping

from mesh.pilot.ads.messages import Answer, DeltaRequest, Outcome, Request, Response, SotwRequest, View
from mesh.pilot.ads.owed import Owed
from mesh.pilot.ads.watch import FULL_STATE, Watch
from mesh.pilot.types import CDS, EDS, LDS, RDS, SDS, Resource

ORDER = (SDS, CDS, EDS, LDS, RDS)
USERS = (LDS, RDS)  # what names clusters


class Machine:
    """One stream's protocol. Every method gives back the responses to send, in order."""

    def __init__(self, view: View, *, sotw: bool = False) -> None:
        self.view = view
        self.sotw = sotw
        self.watches: dict[str, Watch] = {}
        self.owed = Owed()
        self.holding = False
        """Whether something due is held back until the client has answered for something else."""
        self._released = False
        self._nonces = 0
        self._clusters_view: View | None = None  # of the clusters that are under way

    def __repr__(self) -> str:
        form = "sotw" if self.sotw else "delta"
        due = {kind.rpartition(".")[2]: len(watch.pending) for kind, watch in self.watches.items()}
        return f"<Machine {form} at {self.view.version}, due {due}>"

    # What goes in

    def receive(self, request: Request) -> Outcome:
        """Take one request of the client."""
        first = request.type_url not in self.watches
        watch = self.watches.setdefault(request.type_url, Watch(request.type_url))
        answer = watch.answered(request.nonce, request.error) if request.nonce and not first else None
        if answer is not None:
            self._answered(watch, answer)
        before = frozenset(watch.names)
        if isinstance(request, DeltaRequest):
            self._subscribe_delta(watch, request, first)
        elif first or answer is not None or request.nonce in ("", watch.last_nonce):
            self._subscribe_sotw(watch, request, first)
        self.owed.settle(request.type_url, before - watch.names)
        return Outcome(tuple(self._flush()), answer)

    def update(
        self, view: View, *, supersede: bool = False
    ) -> tuple[tuple[Response, ...], Mapping[str, frozenset[str]]]:
        """Take a new view of the world; gives back responses, and the names that changed for each type.

        With `supersede` what has changed does not wait for the answer to what it replaces.
        """
        wanted = [(watch, self._resources(view, watch)) for watch in self.watches.values()]  # all or none
        self.view = view
        touched = {watch.type_url: watch.want(resources, view.version) for watch, resources in wanted}
        for watch, _ in wanted if supersede else ():
            watch.supersede(touched[watch.type_url])
        return tuple(self._flush()), touched

    def release(self) -> tuple[Response, ...]:
        """Send what is held, for the client has not done in time what it was to wait for."""
        self._released = True
        self.owed.give_up()
        return tuple(self._flush())

    # What there is to see

    def unsettled(self) -> dict[str, frozenset[str]]:
        """Names, by type, that the client has yet to answer for. What it must keep is not among them."""
        return {type_url: names for type_url, watch in self.watches.items() if (names := self._open(watch))}

    def _open(self, watch: Watch) -> frozenset[str]:
        under_way = watch.in_flight.names if watch.in_flight else frozenset()
        due = frozenset(watch.pending)
        if watch.type_url in (CDS, EDS) and self._users_refused():
            due &= frozenset(watch.wanted)
        return under_way | due

    # Subscriptions

    def _subscribe_delta(self, watch: Watch, request: DeltaRequest, first: bool) -> None:
        if first:
            watch.wildcard = watch.type_url in FULL_STATE and not request.subscribe
            watch.remember(request.initial_versions, current=watch.type_url != EDS)
            self._want(watch)
        watch.unsubscribe(request.unsubscribe)
        watch.subscribe(request.subscribe)
        if first or request.subscribe or request.unsubscribe:
            self._want(watch)
        if first:
            watch.consider_all()
            self.owed.settle(watch.type_url, watch.accepted.keys() - watch.pending)
            watch.greeting_due = watch.wildcard and not request.initial_versions

    def _subscribe_sotw(self, watch: Watch, request: SotwRequest, first: bool) -> None:
        if first:
            watch.wildcard = watch.type_url in FULL_STATE and not request.names
            watch.greeting_due = watch.wildcard or bool(request.names)
        if first or set(request.names) != watch.names:
            watch.replace_names(request.names)
            self._want(watch)

    def _want(self, watch: Watch) -> frozenset[str]:
        return watch.want(self._resources(self.view, watch), self.view.version)

    def _resources(self, view: View, watch: Watch) -> Mapping[str, Resource]:
        found = view.resources(watch.type_url, watch.wildcard, frozenset(watch.names))
        if watch.type_url != EDS or self._clusters_view is None:
            return found
        lost = (self.owed.names(EDS) & watch.names) - found.keys()
        if not lost:
            return found
        # Their clusters are under way and already gone again: without endpoints Envoy would never answer.
        return {**found, **self._clusters_view.resources(EDS, False, lost)}

    # What accepted resources wait for

    def _answered(self, watch: Watch, answer: Answer) -> None:
        response = answer.response
        settled = response.names if answer.error is None else frozenset(watch.rejected)
        self.owed.settle(response.type_url, settled - watch.forced)
        gone = response.removed if answer.error is None else response.names
        for name in gone:
            self.owed.forget_waiting((response.type_url, name))
        if response.type_url == CDS:
            self._clusters_view = None
            if EDS in self.watches:
                self._want(self.watches[EDS])

    def _owe(self, response: Response) -> None:
        """Note what the resources of a response wait for; endpoints are sent again for each changed cluster.

        Envoy warms a changed cluster as it would a new one, but asks for its endpoints only once; and it
        keeps back its ACK of clusters until all are warm. So the endpoints must follow without waiting.
        Secrets are shared by all that name them: one that the client has is used at once.
        """
        again = response.type_url == CDS
        if again:
            self._clusters_view = self.view
        for resource in response.changed:
            self.owed.forget_waiting((response.type_url, resource.name))
            for type_url, name in resource.waits_for:
                watch = self.watches.get(type_url)
                held = watch is not None and watch.told(name)
                afresh = again and type_url == EDS
                if watch is not None and held and afresh:
                    watch.force(name)
                if type_url in ORDER and (afresh or not held):
                    self.owed.add((type_url, name), (response.type_url, resource.name))

    # What comes out

    def _flush(self) -> Iterator[Response]:
        self.holding = False
        others = [type_url for type_url in self.watches if type_url not in ORDER]
        for type_url in (*ORDER, *others):
            watch = self.watches.get(type_url)
            if watch is None or watch.in_flight is not None:
                continue
            if type_url in USERS and self._clusters_to_come():
                self.holding |= bool(watch.pending) or watch.greeting_due
                continue
            response = self._next(watch)
            if response is not None:
                yield response
            else:
                self.holding |= bool(self._open(watch))
        if not self.holding:
            self._released = False

    def _next(self, watch: Watch) -> Response | None:
        changed, removed = watch.due(removals=self._may_remove(watch.type_url))
        if self.sotw and removed and watch.type_url not in FULL_STATE:
            watch.settle_absent(removed)
            if watch.type_url == SDS:
                self.owed.settle(SDS, removed)  # Envoy goes on without it after its own time
            removed = ()
        if not changed and not removed and not watch.greeting_due:
            return None
        full = watch.full_state(changed, removed) if self.sotw else ()
        if self.sotw and watch.type_url not in FULL_STATE:
            full = changed
        self._nonces += 1
        response = Response(
            type_url=watch.type_url,
            nonce=str(self._nonces),
            version=watch.version,
            changed=changed,
            removed=removed,
            full=full,
        )
        watch.sent(response)
        self._owe(response)
        return response

    def _clusters_to_come(self) -> bool:
        """Whether clusters, or endpoints that they wait for, are still on their way to the client."""
        clusters = self.watches.get(CDS)
        if clusters is None or self._released:
            return False
        coming = clusters.in_flight is not None or clusters.additions_due
        return coming or self.owed.blocks(EDS)

    def _may_remove(self, type_url: str) -> bool:
        """Whether nobody can still use what is gone."""
        if type_url == CDS:
            return self._users_settled()
        before = {EDS: CDS, RDS: LDS}.get(type_url)
        watch = self.watches.get(before) if before else None
        return watch is None or watch.settled or self._released

    def _users_settled(self) -> bool:
        if self._users_refused():
            return False
        users = [self.watches[type_url] for type_url in USERS if type_url in self.watches]
        waiting = self.owed.blocks(RDS) or self._users_to_come()
        return self._released or (not waiting and all(watch.settled for watch in users))

    def _users_to_come(self) -> bool:
        """Whether a client that was here before has yet to ask for its listeners and routes."""
        clusters, listeners = self.watches.get(CDS), self.watches.get(LDS)
        if clusters is None or not clusters.returning:
            return False
        if listeners is None:
            return True
        return RDS not in self.watches and any(resource.waits_for for resource in listeners.wanted.values())

    def _users_refused(self) -> bool:
        return any(self.watches[type_url].rejected for type_url in USERS if type_url in self.watches)
