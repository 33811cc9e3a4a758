"""For a moment: moved to `polymodal.core.target` and `polymodal.core.task`."""

from polymodal.core.target import Target as Target
from polymodal.core.target import tag_task as tag_task
from polymodal.core.task import KnownTask as KnownTask
from polymodal.core.task import Task as Task
from polymodal.core.task import resolve_task as resolve_task
