"""The rules of what people say: how a yes is given, and where a word may lead."""

from trimtab.actions import ActionSpec
from trimtab.rule import Rule, positive
from trimtab.spec import ApprovalPolicy, ModelSpec
from trimtab.units import duration


def _no_time(policy: ApprovalPolicy) -> bool:
    return not duration(policy.expiry)


def _nobody_asked(spec: ModelSpec) -> bool:
    return spec.approval_policy.separation_of_duties and spec.approval != "manual"


APPROVAL_RULES = (
    Rule(
        name="approval-time",
        on="spec.approvalPolicy",
        at="expiry",
        cel=positive("expiry"),
        message="allowed is a duration above zero; a person needs time",
        broken=_no_time,
    ),
    Rule(
        name="approval-duties",
        on="spec",
        at="approvalPolicy.separationOfDuties",
        cel=(
            "!has(self.approvalPolicy) || !has(self.approvalPolicy.separationOfDuties) || !self.approvalPolicy.separationOfDuties || "
            "(has(self.approval) && self.approval == 'manual')"
        ),
        message="nobody is asked where approval is automatic; allowed with approval: manual alone",
        broken=_nobody_asked,
    ),
)


def _said_to_the_wrong_one(said: ActionSpec) -> bool:
    return said.action != "resume" and (said.action in ("halt", "revert")) is not bool(said.pipeline_rollout)


ACTION_RULES = (
    Rule(
        name="action-target",
        on="spec",
        cel="(has(self.release) && self.release != '') != (has(self.pipelineRollout) && self.pipelineRollout != '')",
        message="a word is said to one thing; allowed is one of release and pipelineRollout",
        broken=lambda said: bool(said.release) is bool(said.pipeline_rollout),
    ),
    Rule(
        name="action-word",
        on="spec",
        at="action",
        cel=("self.action == 'resume' || (self.action in ['halt', 'revert']) == (has(self.pipelineRollout) && self.pipelineRollout != '')"),
        message="allowed for a pipelineRollout is halt, resume or revert, and for a release any other word or resume",
        broken=_said_to_the_wrong_one,
    ),
    Rule(
        name="action-step",
        on="spec",
        at="step",
        cel="!has(self.step) || self.action == 'promote'",
        message="only promote goes to a step; allowed with another action is none",
        broken=lambda said: said.step is not None and said.action != "promote",
    ),
    Rule(
        name="action-full",
        on="spec",
        at="full",
        cel="!has(self.full) || !self.full || self.action == 'promote'",
        message="only promote goes to 100%; allowed with another action is none",
        broken=lambda said: said.full and said.action != "promote",
    ),
    Rule(
        name="action-one-end",
        on="spec",
        at="step",
        cel="!has(self.step) || !has(self.full) || !self.full",
        message="100% is beyond every step; allowed is one of step and full",
        broken=lambda said: said.step is not None and said.full,
    ),
)

PIPELINE_ROLLOUT_RULES = (
    Rule(
        name="stages-rise",
        on="spec",
        at="stages",
        cel="!has(self.stages) || (self.stages[self.stages.size() - 1] == 1.0 && self.stages.isSorted())",
        message="stages rise, and the last reaches all Models; allowed are shares such as [0, 0.1, 1]",
    ),
)
