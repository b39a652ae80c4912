"""What all REST methods share: masks, pages, deletions."""

import re

from local_cloud.documents import Document, Transaction
from local_cloud.google_http import Reply, Request, json_reply
from local_cloud.vertex import operations

PAGE_SIZE = 100


def mask(request: Request) -> set[str]:
    """Return the fields of `updateMask`, in camelCase."""
    fields = request.query.get("updateMask", "").split(",")
    return {re.sub(r"_(\w)", lambda m: m[1].upper(), f.strip()) for f in fields if f}


def page_of(request: Request, key: str, found: list[Document]) -> Reply:
    """Return one page; the page token is where the next one begins."""
    size = int(request.query.get("pageSize") or PAGE_SIZE) or PAGE_SIZE
    begin = int(request.query.get("pageToken") or 0)
    page: Document = {key: found[begin : begin + size]}
    if begin + size < len(found):
        page["nextPageToken"] = str(begin + size)
    return json_reply(page)


def begin_deletion(work: Transaction, kind: str, name: str, owner: str) -> Document:
    """Write the operation that deletes the resource `name`."""
    task: Document = {"do": "delete", "kind": kind, "resource": name}
    return operations.begin(work, owner, "Delete", task)
