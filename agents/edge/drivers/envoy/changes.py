"""From a snapshot to verdicts: what changed, whether it may go, whether it went, whether it shows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable, Mapping

from agents.edge.drivers.envoy.admin import Admin
from agents.edge.drivers.envoy.kinds import ContentError, DriverError, NoVerdict, Refused
from agents.edge.drivers.envoy.names import Networks, vet
from agents.edge.drivers.envoy.probe import Prober, Proof
from agents.edge.drivers.envoy.rollout import Rollout, ports_of
from agents.edge.drivers.envoy.store import Store
from agents.edge.drivers.envoy.tls import clashes, secrets_of
from agents.edge.model import Live, Outcome, Publish, Snapshot, Verdict

logger = logging.getLogger(__name__)


class Changes:
    def __init__(self, rollout: Rollout, prober: Prober, store: Store, admin: Admin) -> None:
        self._rollout = rollout
        self._prober = prober
        self._store = store
        self._admin = admin
        self._kept = store.load()  # what is on disk; Envoy serves it all but for what is in _lost
        self._lost: dict[str, str] = {}  # was good, and was not taken after a restart: why
        self._dropping: dict[str, Publish] = {}  # withdrawn, not yet seen to be gone
        self._refused: dict[str, tuple[Publish, str]] = {}
        self._judged: dict[str, tuple[str, str]] = {}  # publish id -> (revision, deployment)
        self._warnings: dict[str, str] = {}

    def forget(self, publish_id: str) -> None:
        self._refused.pop(publish_id, None)

    async def recover(self) -> None:
        """Serve what is on disk. What Envoy refuses stays there for the next time."""
        sound, self._lost = self._rollout.translatable(self._kept)
        try:
            self._lost |= await self._rollout.recover(sound)
        except NoVerdict as error:
            logger.warning("the last good state is on offer, unconfirmed: %s", error)
        for publish_id, reason in self._lost.items():
            logger.warning("publish %s was good and is refused now: %s", publish_id, reason)

    async def withdraw(self, snapshot: Snapshot) -> dict[str, Verdict]:
        """Remove what the snapshot lacks; a verdict is the proof that it is gone."""
        gone = {
            publish_id: publish
            for publish_id, publish in (self._dropping | self._kept).items()
            if publish_id not in snapshot.publishes
        }
        for publish_id in self._refused.keys() - snapshot.publishes.keys():
            self.forget(publish_id)
        for told in (self._judged, self._warnings):
            for publish_id in told.keys() - snapshot.publishes.keys():
                del told[publish_id]
        if not gone:
            return {}
        # From the disk first: a crash must not bring it back.
        await asyncio.to_thread(self._store.drop, gone)
        for known in (self._kept, self._lost):
            for publish_id in gone:
                known.pop(publish_id, None)
        begun, doubt = time.perf_counter(), ""
        try:
            await self._rollout.drop(gone)
        except (Refused, NoVerdict) as error:
            doubt = str(error)
        apply_ms = _since(begun)
        proofs = await self._prove_gone(gone.values(), in_doubt=bool(doubt))
        self._dropping = {each: gone[each] for each in gone if proofs[each].error}
        # Envoy's doubt can be about others (a port lost to another process): the proof decides.
        return {each: _verdict(proofs[each], apply_ms, warning=doubt) for each in gone}

    async def _prove_gone(
        self, publishes: Iterable[Publish], *, in_doubt: bool
    ) -> dict[str, Proof]:
        """A port where Envoy no longer listens may be a stranger's, who is not asked."""
        ports = self._rollout.ports
        return await _gather(
            {
                each.id: self._prober.gone(each, ports_of(each) if in_doubt else ports)
                for each in publishes
            }
        )

    async def publish(self, snapshot: Snapshot) -> dict[str, Verdict]:
        """Add and change what the snapshot has, and prove what waits for proof."""
        served = secrets_of(self._rollout.good.values())
        await self._rollout.secrets.use(snapshot.secrets, served)
        changed, waiting = self._sort(snapshot)
        errors = await self._vet(changed.values(), snapshot)
        before = dict(self._rollout.good)
        begun = time.perf_counter()
        fit = {each: changed[each] for each in changed.keys() - errors.keys()}
        errors |= await self._rollout.settle(fit)
        apply_ms = _since(begun) if fit else 0.0
        taken = {each: changed[each] for each in changed.keys() - errors.keys()}
        proofs = await _gather(
            {each.id: self._prober.live(each) for each in (taken | waiting).values()}
        )
        await self._take_back([each for each in taken if proofs[each].error], before)
        verdicts = self._judge(changed, waiting, errors, proofs, apply_ms)
        await self._keep([each for each in taken.values() if not proofs[each.id].error])
        return verdicts

    def _sort(self, snapshot: Snapshot) -> tuple[dict[str, Publish], dict[str, Publish]]:
        """What is to change, and what is live already but has a deployment waiting for its proof."""
        changed, waiting = {}, {}
        for publish_id, publish in snapshot.publishes.items():
            live = self._rollout.good.get(publish_id)
            if live and live.revision == publish.revision:
                self.forget(publish_id)
                judged = (publish.revision, publish.deployment)
                if publish.deployment and self._judged.get(publish_id) != judged:
                    waiting[publish_id] = publish
            elif not self._was_refused(publish):
                changed[publish_id] = publish
        return changed, waiting

    def _was_refused(self, publish: Publish) -> bool:
        """The same attempt. A deployment already judged is no longer named by the server.

        What was good before Envoy came anew is tried each time: its port may be free by now.
        """
        if publish.id not in self._refused or self._is_lost(publish):
            return False
        refused, _ = self._refused[publish.id]
        same = publish.deployment in ("", refused.deployment)
        return same and publish.revision == refused.revision

    def _is_lost(self, publish: Publish) -> bool:
        kept = self._kept.get(publish.id)
        return publish.id in self._lost and kept is not None and kept.revision == publish.revision

    async def repair(self) -> None:
        """Offer everything once more if Envoy serves something else than what it took."""
        live = await self.observe()
        good = self._rollout.good.values()
        if all(each.id in live and live[each.id].revision == each.revision for each in good):
            return
        try:
            await self._rollout.restore()
        except (Refused, NoVerdict) as error:
            logger.warning("the good state is offered once more, unconfirmed: %s", error)

    async def _vet(self, publishes: Iterable[Publish], snapshot: Snapshot) -> dict[str, str]:
        """Our own reasons to refuse, before Envoy is asked. By publish id."""
        publishes = list(publishes)
        _, errors = self._rollout.translatable({each.id: each for each in publishes})
        try:
            networks = Networks.parse(snapshot.denied_networks, snapshot.allowed_networks)
        except ContentError as error:
            return {each.id: str(error) for each in publishes}
        sound = [each for each in publishes if each.id not in errors]
        errors |= clashes(self._rollout.good, {each.id: each for each in sound})
        sound = [each for each in sound if each.id not in errors]
        found = await asyncio.gather(
            *(vet(each, networks) for each in sound), return_exceptions=True
        )
        for publish, result in zip(sound, found, strict=True):
            if isinstance(result, ContentError):
                errors[publish.id] = str(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                self._warnings[publish.id] = result
        return errors

    async def _take_back(self, unproved: list[str], before: Mapping[str, Publish]) -> None:
        """Envoy took it, but calls do not show it: go back to what was served before."""
        if not unproved:
            return
        old = {each: before[each] for each in unproved if each in before}
        failed = await self._rollout.settle(old)
        new = [each for each in unproved if each not in old or each in failed]
        try:
            if new:
                await self._rollout.drop(new)
        except (Refused, NoVerdict) as error:
            logger.warning("unproved publishes are dropped, unconfirmed: %s", error)

    def _judge(
        self,
        changed: Mapping[str, Publish],
        waiting: Mapping[str, Publish],
        errors: Mapping[str, str],
        proofs: Mapping[str, Proof],
        apply_ms: float,
    ) -> dict[str, Verdict]:
        verdicts = {}
        for publish_id, publish in {**changed, **waiting}.items():
            if publish_id in errors:
                verdict = Verdict(Outcome.FAILED, error=errors[publish_id], apply_ms=apply_ms)
            else:
                warning = self._warnings.get(publish_id, "")
                spent = apply_ms if publish_id in changed else 0.0
                verdict = _verdict(proofs[publish_id], spent, warning)
            verdicts[publish_id] = verdict
            self._judged[publish_id] = (publish.revision, publish.deployment)
            if verdict.outcome is Outcome.FAILED and publish_id in changed:
                self._refused[publish_id] = (publish, verdict.error)
        return verdicts

    async def _keep(self, publishes: list[Publish]) -> None:
        await asyncio.to_thread(self._store.keep, publishes)
        for publish in publishes:
            self._kept[publish.id] = publish
            for known in (self._lost, self._refused, self._dropping):
                known.pop(publish.id, None)

    async def observe(self) -> dict[str, Live]:
        trouble = ""
        served: dict[str, dict[int, str]] = {}
        ill: dict[tuple[str, str], list[str]] = {}
        try:
            served, ill = await self._admin.revisions(), await self._admin.ill_backends()
        except DriverError as error:
            trouble = str(error)
        known = served.keys() | self._kept.keys() | self._refused.keys()
        return {each: self._live(each, served.get(each, {}), ill, trouble) for each in known}

    def _live(
        self,
        publish_id: str,
        served: Mapping[int, str],
        ill: Mapping[tuple[str, str], list[str]],
        trouble: str,
    ) -> Live:
        """Live is what all its ports serve; a port that lacks it is an error."""
        revisions = set(served.values())
        publish = self._rollout.good.get(publish_id)
        missing = ports_of(publish) - served.keys() if publish else set()
        _, refusal = self._refused.get(publish_id, (None, ""))
        error = refusal or self._lost.get(publish_id, "") or trouble
        if not error and missing:
            error = f"not served on port {min(missing)}"
        revision = revisions.pop() if len(revisions) == 1 and not missing else ""
        warnings = ill.get((publish_id, revision[:8]), [])
        if not warnings and self._warnings.get(publish_id):
            warnings = [self._warnings[publish_id]]
        if publish:
            refused = self._rollout.secrets.refused
            warnings = [
                *warnings,
                *(refused[each] for each in secrets_of([publish]) & refused.keys()),
            ]
        return Live(revision, error=error, warning="; ".join(warnings))


async def _gather(proofs: Mapping[str, Awaitable[Proof]]) -> dict[str, Proof]:
    found = await asyncio.gather(*proofs.values())
    return dict(zip(proofs, found, strict=True))


def _verdict(proof: Proof, apply_ms: float, warning: str = "") -> Verdict:
    return Verdict(
        Outcome.FAILED if proof.error else Outcome.APPLIED,
        error=proof.error,
        warning=warning,
        probe=proof.calls,
        apply_ms=apply_ms,
        probe_ms=proof.ms,
    )


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1000
