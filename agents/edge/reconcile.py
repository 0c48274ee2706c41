"""Make the gateway match the manifest. Level-triggered: hints only say when to look, never what to do."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from agents.edge import faultpoint
from agents.edge.condition import Condition
from agents.edge.control import Control, Unavailable
from agents.edge.gateway import Gateway, GatewayDown
from agents.edge.model import Live, Outcome, Publish, Snapshot, Verdict
from agents.edge.outbox import Outbox
from agents.edge.results import applying, final
from agents.edge.secrets import Secrets
from agents.edge.store import Refusal, Saved, Store, Turn, parse_bundle
from agents.wire import agent_pb2, bundle_pb2

log = logging.getLogger(__name__)

BUNDLE_SCHEMA = 2
RETRY_REFUSED_SECONDS = 300
GATEWAY_TRIES = 3


@dataclass(frozen=True, slots=True)
class Work:
    """What one look at the manifest asks of the gateway."""

    attempts: Mapping[str, bundle_pb2.Wanted]  # to be tried or proved, by publish id
    kept: Mapping[str, Publish]  # served already, and to be left as they are
    removed: frozenset[str]
    withdrawals: Mapping[str, str]  # publish id -> deployment that waits to hear that it is gone


class Reconciler:
    def __init__(
        self,
        store: Store,
        on_disk: Callable[..., Awaitable[Any]],
        gateway: Gateway,
        outbox: Outbox,
        condition: Condition,
        saved: Saved,
    ) -> None:
        self.due = asyncio.Event()
        self._store = store
        self._on_disk = on_disk
        self._gateway = gateway
        self._outbox = outbox
        self._condition = condition
        self._manifest: bundle_pb2.Manifest | None = None
        self._etag = ""
        self._served = saved.snapshot  # what the gateway took last
        self._proofs = dict(saved.proofs)
        self._refusals = dict(saved.refusals)
        self._answers = dict(saved.answers)
        # None: of the right bytes, but not to be read by this agent.
        self._bundles: dict[str, bundle_pb2.Bundle | None] = {
            publish.revision: publish.bundle for publish in saved.snapshot.publishes.values()
        }
        self._secrets = Secrets(store, on_disk, saved.snapshot.secrets)
        self._again = False  # apply although nothing changed: the gateway lost something
        self._gateway_failures = 0
        self._tell()

    @property
    def served(self) -> Snapshot:
        return self._served

    def apply_again(self) -> None:
        self._again = True
        self.due.set()

    async def reconcile(self, control: Control) -> None:
        """Read, fetch, apply, answer. Raises Unavailable or GatewayDown when it has to be tried again."""
        began = time.perf_counter()
        manifest = await self._read(control)
        work = await self._fetch(control, self._work(manifest))
        work = await self._fetch_secrets(control, work, manifest)
        fetch_ms = (time.perf_counter() - began) * 1000
        if self._must_apply(work, manifest):
            await self._apply(work, manifest, fetch_ms)
        self._answer_known(manifest)
        self._settle(manifest)

    # --- reading ---

    async def _read(self, control: Control) -> bundle_pb2.Manifest:
        answer = await control.manifest(self._etag if self._manifest else "")
        self._condition.heard()
        if answer is not None:
            manifest, etag = answer
            if manifest.cluster_id != self._condition.identity.cluster_id:
                raise Unavailable(
                    f"The control plane sent the manifest of cluster {manifest.cluster_id}, but this "
                    f"agent belongs to {self._condition.identity.cluster_id}: nothing is changed."
                )
            self._manifest, self._etag = manifest, etag
            # Whoever asks for the same under a new generation wants what drifted repaired, now.
            self._again = self._again or bool(self._condition.live and self._condition.drifted())
        if self._manifest is None:
            raise Unavailable("The control plane says that a manifest we do not have is unchanged.")
        self._condition.wanted = {
            each.publish_id: each.revision for each in self._manifest.publishes
        }
        self._condition.desired_generation = self._manifest.generation
        return self._manifest

    @property
    def access_mark(self) -> tuple[str, int]:
        """Lineage and version of the access entries, as the manifest last named them."""
        return (
            (self._manifest.lineage, self._manifest.access_version) if self._manifest else ("", 0)
        )

    def _work(self, manifest: bundle_pb2.Manifest) -> Work:
        attempts, kept = {}, {}
        for wanted in manifest.publishes:
            now = self._served.publishes.get(wanted.publish_id)
            waits = bool(wanted.deployment_id) and wanted.deployment_id not in self._answers
            same = now is not None and now.revision == wanted.revision
            if self._is_refused(wanted) or (same and not waits):
                if now is not None:
                    kept[wanted.publish_id] = now
            else:
                attempts[wanted.publish_id] = wanted
        named = {wanted.publish_id for wanted in manifest.publishes}
        return Work(
            attempts=attempts,
            kept=kept,
            removed=frozenset(self._served.publishes.keys() - named),
            withdrawals={
                absent.publish_id: absent.deployment_id
                for absent in manifest.withdrawals
                if absent.deployment_id not in self._answers and absent.publish_id not in named
            },
        )

    def _is_refused(self, wanted: bundle_pb2.Wanted) -> bool:
        """A refused revision waits for another deployment; where none waits for it, for a while."""
        refusal = self._refusals.get(wanted.publish_id)
        if refusal is None or refusal.revision != wanted.revision:
            return False
        if wanted.deployment_id:
            return wanted.deployment_id == refusal.deployment_id
        return faultpoint.now() - refusal.at < RETRY_REFUSED_SECONDS

    async def _fetch(self, control: Control, work: Work) -> Work:
        """Get what is missing; on disk before it is used. What cannot be had leaves things as they are."""
        missing = {each.revision for each in work.attempts.values()} - self._bundles.keys()
        if missing:
            bodies = await self._on_disk(self._store.bundles, missing)
            fetched = await control.bundles(missing - bodies.keys())
            await self._on_disk(self._store.keep_bundles, fetched)
            faultpoint.reach("agent.fetched")
            self._bundles |= {d: parse_bundle(d, body) for d, body in (bodies | fetched).items()}
        return self._only(work, lambda revision: revision in self._bundles)

    async def _fetch_secrets(
        self, control: Control, work: Work, manifest: bundle_pb2.Manifest
    ) -> Work:
        tried = [self._bundles[each.revision] for each in work.attempts.values()]
        served = [each.bundle for each in work.kept.values()]
        await self._secrets.bring(control, manifest.secrets, [*tried, *served])
        return self._only(work, lambda rev: self._secrets.complete(self._bundles[rev]))

    def _only(self, work: Work, is_ready: Callable[[str], bool]) -> Work:
        """What is not ready is not attempted: it stays as it is served now."""
        attempts = {p: each for p, each in work.attempts.items() if is_ready(each.revision)}
        absent = work.attempts.keys() - attempts.keys()
        now = self._served.publishes
        return replace(
            work,
            attempts=attempts,
            kept={**work.kept, **{each: now[each] for each in absent & now.keys()}},
        )

    # --- applying ---

    def _must_apply(self, work: Work, manifest: bundle_pb2.Manifest) -> bool:
        wanted = self._snapshot(manifest, self._served.publishes)
        settings_changed = replace(wanted, generation=self._served.generation) != self._served
        asked = work.attempts or work.removed or work.withdrawals
        return bool(asked) or settings_changed or self._again

    async def _apply(self, work: Work, manifest: bundle_pb2.Manifest, fetch_ms: float) -> None:
        unfit = {
            publish_id: words
            for publish_id, wanted in work.attempts.items()
            if (words := _unfit(wanted, self._bundles[wanted.revision]))
        }
        fit = {each: self._publish(work.attempts[each]) for each in work.attempts.keys() - unfit}
        now = self._served.publishes
        stay = {each: now[each] for each in unfit.keys() & now.keys()}
        self._announce(work, manifest, fit)
        if work.removed:
            await self._on_disk(self._store.forget, work.removed)
            faultpoint.reach("agent.forgot")
        snapshot = self._snapshot(manifest, {**work.kept, **stay, **fit})
        verdicts = await self._drive(snapshot, [*fit, *work.withdrawals])
        verdicts |= {each: Verdict(Outcome.FAILED, error=words) for each, words in unfit.items()}
        faultpoint.reach("agent.applied")
        await self._record(work, snapshot, verdicts, fetch_ms)

    def _announce(
        self, work: Work, manifest: bundle_pb2.Manifest, fit: Mapping[str, Publish]
    ) -> None:
        begun = {each.deployment: each.revision for each in fit.values() if each.deployment}
        begun |= dict.fromkeys(work.withdrawals.values(), "")
        for deployment_id, revision in begun.items():
            self._outbox.say(applying(deployment_id, revision, manifest.generation))

    async def _drive(self, snapshot: Snapshot, asked: Iterable[str]) -> dict[str, Verdict]:
        """The gateway's verdicts. A gateway that fails again and again is a verdict as well."""
        log.info(
            "Applying",
            extra={"generation": snapshot.generation, "publishes": len(snapshot.publishes)},
        )
        try:
            verdicts = await self._gateway.apply(replace(snapshot, again=self._again))
        except GatewayDown as error:
            self._gateway_failures += 1
            self._again = True
            if self._gateway_failures < GATEWAY_TRIES:
                raise
            return {publish_id: Verdict(Outcome.FAILED, error=str(error)) for publish_id in asked}
        self._gateway_failures = 0
        self._again = False
        silent = {publish_id for publish_id in asked if publish_id not in verdicts}
        return verdicts | (await self._found(snapshot, silent) if silent else {})

    async def _found(self, snapshot: Snapshot, publish_ids: Iterable[str]) -> dict[str, Verdict]:
        """The driver had nothing to change for these: what the gateway serves is the answer."""
        live = await self._gateway.observe()
        found = {}
        for publish_id in publish_ids:
            publish = snapshot.publishes.get(publish_id)
            is_live = live.get(publish_id, Live(""))
            if is_live.revision == (publish.revision if publish else ""):
                found[publish_id] = Verdict(Outcome.APPLIED, warning=is_live.warning)
            else:
                words = (
                    is_live.error or f"the gateway serves revision {is_live.revision[:8] or 'none'}"
                )
                found[publish_id] = Verdict(Outcome.FAILED, error=words)
        return found

    async def _record(
        self, work: Work, snapshot: Snapshot, verdicts: Mapping[str, Verdict], fetch_ms: float
    ) -> None:
        """On disk before it is told: an agent that dies in between gives the same answer again."""
        gone = work.removed | work.withdrawals.keys()
        served = {pid: each for pid, each in self._served.publishes.items() if pid not in gone}
        answers = []
        for publish_id, verdict in verdicts.items():
            wanted = work.attempts.get(publish_id)
            revision = _revision(wanted or snapshot.publishes.get(publish_id))
            deployment = wanted.deployment_id if wanted else work.withdrawals.get(publish_id, "")
            result = final(deployment, revision, snapshot.generation, verdict, fetch_ms)
            self._note(publish_id, wanted, verdict, result)
            if wanted and verdict.outcome is Outcome.APPLIED:
                served[publish_id] = replace(snapshot.publishes[publish_id], deployment="")
            if deployment:
                answers.append(result)
        needed = self._secrets.of(each.bundle for each in served.values())
        self._served = replace(snapshot, publishes=served, secrets=needed)
        self._forget_unwanted()
        turn = Turn(self._served, self._proofs, self._refusals, tuple(answers))
        await self._on_disk(self._store.record, turn)
        self._secrets.keep_only(needed)
        faultpoint.reach("agent.recorded")
        for result in answers:
            self._answers[result.deployment_id] = result
            self._outbox.say(result)

    def _note(
        self,
        publish_id: str,
        wanted: bundle_pb2.Wanted | None,
        verdict: Verdict,
        result: agent_pb2.DeployResult,
    ) -> None:
        applied = verdict.outcome is Outcome.APPLIED
        log.log(
            logging.INFO if applied else logging.ERROR,
            "Applied" if applied else "Refused",
            extra={
                "publish": publish_id,
                "revision": result.revision[:8],
                "deployment": result.deployment_id,
                "apply_ms": round(verdict.apply_ms, 1),
                "probe_ms": round(verdict.probe_ms, 1),
                **({"error": verdict.error} if verdict.error else {}),
            },
        )
        if applied:
            self._refusals.pop(publish_id, None)
            self._condition.live[publish_id] = Live(result.revision, warning=verdict.warning)
            if wanted:
                self._proofs[publish_id] = result
        elif wanted:
            self._refusals[publish_id] = Refusal(
                publish_id, wanted.revision, wanted.deployment_id, verdict.error, faultpoint.now()
            )
        else:
            # Still there though it should be gone, or lost though it was good: again at the next look.
            self._again = True
            self._condition.live[publish_id] = Live("", error=verdict.error)

    def _forget_unwanted(self) -> None:
        """Refusals and proofs of publishes that the manifest does not name any more."""
        wanted = self._condition.wanted
        self._proofs = {pid: each for pid, each in self._proofs.items() if pid in wanted}
        self._refusals = {pid: each for pid, each in self._refusals.items() if pid in wanted}
        revisions = {publish.revision for publish in self._served.publishes.values()}
        for digest in self._bundles.keys() - revisions:
            del self._bundles[digest]

    # --- answering ---

    def _answer_known(self, manifest: bundle_pb2.Manifest) -> None:
        """Whoever waits for a verdict that was given already, perhaps before a restart, hears it."""
        named = {wanted.deployment_id for wanted in manifest.publishes if wanted.deployment_id}
        named |= {absent.deployment_id for absent in manifest.withdrawals}
        self._outbox.settle(named)
        self._answers = {each: self._answers[each] for each in named & self._answers.keys()}
        for deployment_id in named:
            if deployment_id in self._answers and not self._outbox.has(deployment_id):
                self._outbox.say(self._answers[deployment_id])

    def _settle(self, manifest: bundle_pb2.Manifest) -> None:
        wanted = {each.publish_id: each.revision for each in manifest.publishes}
        served = {pid: publish.revision for pid, publish in self._served.publishes.items()}
        open_ones = {
            publish_id
            for publish_id, revision in wanted.items()
            if served.get(publish_id) != revision and publish_id not in self._refusals
        }
        behind = self._secrets.behind
        if not open_ones and not behind:
            self._condition.settled_generation = manifest.generation
        if served == wanted and not self._again and not behind:
            self._condition.applied_generation = manifest.generation
        self._tell()
        if open_ones or behind:
            self._etag = ""
            lacking = f"{len(open_ones)} bundles and {len(behind)} secrets"
            raise Unavailable(f"{lacking} of the manifest could not be had.")

    def _tell(self) -> None:
        served = self._served.publishes
        self._condition.served = {pid: publish.revision for pid, publish in served.items()}
        self._condition.refusals = dict(self._refusals)
        self._condition.changed()

    def _publish(self, wanted: bundle_pb2.Wanted) -> Publish:
        bundle = self._bundles[wanted.revision]
        assert bundle is not None  # or it would be unfit
        return Publish(wanted.publish_id, wanted.revision, bundle, wanted.deployment_id)

    def _snapshot(
        self, manifest: bundle_pb2.Manifest, publishes: Mapping[str, Publish]
    ) -> Snapshot:
        return Snapshot(
            generation=manifest.generation,
            publishes=publishes,
            agent_count=max(1, manifest.agent_count),
            denied_networks=tuple(manifest.denied_networks),
            allowed_networks=tuple(manifest.allowed_networks),
            secrets=self._secrets.of(each.bundle for each in publishes.values()),
            trusted_hops=manifest.trusted_hops,
        )


def _revision(of: bundle_pb2.Wanted | Publish | None) -> str:
    return of.revision if of is not None else ""


def _unfit(wanted: bundle_pb2.Wanted, bundle: bundle_pb2.Bundle | None) -> str:
    """Why the agent itself refuses a bundle, before any gateway sees it."""
    if bundle is None:
        return "This agent cannot read the bundle. Upgrade the agent."
    if bundle.schema > BUNDLE_SCHEMA:
        return f"This agent does not know bundles of schema {bundle.schema}. Upgrade the agent."
    if bundle.publish_id != wanted.publish_id:
        return f"The bundle is of publish {bundle.publish_id}, not of {wanted.publish_id}."
    return ""
