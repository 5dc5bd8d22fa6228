"""The entities of the record, one file each."""

from governance.models.dataset import Dataset, DatasetState, DatasetVersion
from governance.models.evaluation import Evaluation
from governance.models.event import Event
from governance.models.idempotency import IdempotencyRecord
from governance.models.job import Job, JobState
from governance.models.model_version import ModelSignatureState, ModelVersion, ModelVersionState
from governance.models.policy import Policy
from governance.models.registered_model import Alias, RegisteredModel, Tier
from governance.models.review import Decision, Evidence, Review, ReviewState
from governance.models.signed_statement import SignedStatement, StatementKind, StatementSubject
from governance.models.signing_key import InstallationKey
from governance.models.stored_file import StoredFile
from governance.models.training import Training
from governance.models.upload import Upload, UploadState

__all__ = [
    "Alias",
    "Dataset",
    "DatasetState",
    "DatasetVersion",
    "Decision",
    "Evaluation",
    "Event",
    "Evidence",
    "IdempotencyRecord",
    "InstallationKey",
    "Job",
    "JobState",
    "ModelSignatureState",
    "ModelVersion",
    "ModelVersionState",
    "Policy",
    "RegisteredModel",
    "Review",
    "ReviewState",
    "SignedStatement",
    "StatementKind",
    "StatementSubject",
    "StoredFile",
    "Tier",
    "Training",
    "Upload",
    "UploadState",
]
