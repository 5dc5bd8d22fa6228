"""Everything that Assay says no with: one base class, children of three lines.

``governance.api`` turns them into problem documents (RFC 9457), the admin into messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AssayError(Exception):
    """A full sentence that its reader can act on, with a stable code and the HTTP status of the answer."""

    code = "error"
    status = 400
    title = "The request could not be done."

    def __init__(self, detail: str, *, errors: Sequence[dict[str, Any]] = (), reasons: Sequence[str] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = list(errors)
        self.reasons = list(reasons)


class InvalidInput(AssayError):
    code = "invalid_input"
    status = 422
    title = "The content is not valid."


class UnreadableUpload(AssayError):
    code = "unreadable_upload"
    status = 400
    title = "The upload is not whole."


class InvalidHeader(AssayError):
    code = "invalid_header"
    status = 400
    title = "A header of the request cannot be read."


class DigestMismatch(AssayError):
    code = "digest_mismatch"
    status = 422
    title = "What came is not what was said."


class UploadTooLarge(AssayError):
    code = "upload_too_large"
    status = 413
    title = "The upload is larger than this installation accepts."


class StorageFull(AssayError):
    code = "storage_full"
    status = 507
    title = "The disk is full."


class QuotaExceeded(AssayError):
    code = "quota_exceeded"
    status = 507
    title = "Your quota is full."


class NotAllowed(AssayError):
    code = "not_allowed"
    status = 403
    title = "You may not do this."


class NotFound(AssayError):
    code = "not_found"
    status = 404
    title = "There is no such thing, or you may not see it."


class StateConflict(AssayError):
    code = "state_conflict"
    status = 409
    title = "The state does not allow this."


class GateClosed(AssayError):
    code = "gate_closed"
    status = 409
    title = "A gate says no."


class IdempotencyConflict(AssayError):
    code = "idempotency_conflict"
    status = 409
    title = "This Idempotency-Key was used for another request."


class LostJob(AssayError):
    code = "lost_job"
    status = 409
    title = "The job is no longer held by this attempt."


class IntegrityFailure(AssayError):
    code = "integrity_failure"
    status = 500
    title = "The stored content is not what the record says."


class RefusedResult(AssayError):
    code = "refused_result"
    status = 500
    title = "The answer of the job does not follow what its kind may answer."
