"""The registry's routes.

Source: OCI distribution-spec 1.1, "Endpoints"
"""

import asyncio
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from local_cloud.registry import wire
from local_cloud.registry.announcer import Announcer
from local_cloud.registry.catalog import Catalog, ManifestEntry
from local_cloud.registry.content import ContentStore, save
from local_cloud.registry.errors import Code, RegistryError
from local_cloud.registry.manifests import MANIFEST_MAX_BYTES, read_references
from local_cloud.registry.names import check_digest, check_repository, is_digest


@dataclass(frozen=True, slots=True)
class Registry:
    """What answers requests: content, catalog, and whoever announces changes."""

    content: ContentStore
    catalog: Catalog
    announcer: Announcer
    blob_max_bytes: int

    async def ping(self, _request: Request) -> Response:
        """Serve `GET /v2/`: version 2 is spoken here."""
        return JSONResponse({})

    async def get_blob(self, request: Request) -> Response:
        """Serve `GET` and `HEAD` of a blob, ranges included."""
        repository = wire.repository_of(request)
        digest = check_digest(request.path_params["digest"])
        if not await asyncio.to_thread(self.catalog.has_blob, repository, digest):
            raise RegistryError(
                Code.BLOB_UNKNOWN, f"{repository} holds no blob {digest}"
            )
        return self._file(digest, "application/octet-stream")

    async def start_upload(self, request: Request) -> Response:
        """Serve `POST .../blobs/uploads/`: mount, push at once, or begin."""
        repository, query = wire.repository_of(request), request.query_params
        if "mount" in query and await asyncio.to_thread(
            self._mount, repository, query["mount"], query.get("from", "")
        ):
            return wire.created_blob(repository, query["mount"])
        if "digest" in query:
            check_digest(query["digest"])
        upload = await asyncio.to_thread(self.content.start_upload)
        if "digest" in query:
            return await self._receive_last(repository, upload, request)
        return wire.upload_state(repository, upload, 0)

    async def get_upload(self, request: Request) -> Response:
        """Serve `GET` of an upload: how much of it is here."""
        repository, upload = wire.repository_of(request), wire.upload_of(request)
        length_bytes = self.content.upload_length_bytes(upload)
        return wire.upload_state(repository, upload, length_bytes, status=204)

    async def patch_upload(self, request: Request) -> Response:
        """Serve `PATCH` of an upload: the next piece of it."""
        repository, upload = wire.repository_of(request), wire.upload_of(request)
        length_bytes = await self._receive(upload, request)
        return wire.upload_state(repository, upload, length_bytes)

    async def put_upload(self, request: Request) -> Response:
        """Serve `PUT` of an upload: the last piece, and its digest."""
        repository, upload = wire.repository_of(request), wire.upload_of(request)
        return await self._receive_last(repository, upload, request)

    async def delete_upload(self, request: Request) -> Response:
        """Serve `DELETE` of an upload: forget it."""
        wire.repository_of(request)
        self.content.cancel_upload(wire.upload_of(request))
        return Response(status_code=204)

    async def get_manifest(self, request: Request) -> Response:
        """Serve `GET` and `HEAD` of a manifest, by tag or digest."""
        repository, reference = wire.repository_of(request), wire.reference_of(request)
        entry = await asyncio.to_thread(self.catalog.manifest, repository, reference)
        if entry is None:
            raise _unknown_manifest(repository, reference)
        return self._file(entry.digest, entry.media_type)

    async def put_manifest(self, request: Request) -> Response:
        """Serve `PUT` of a manifest, by tag or digest."""
        repository, reference = wire.repository_of(request), wire.reference_of(request)
        chunks = wire.read_chunks(request, MANIFEST_MAX_BYTES)
        body = b"".join([chunk async for chunk in chunks])
        digest = await asyncio.to_thread(
            self._enter, repository, reference, body, _media_type(request)
        )
        self.announcer.wake()
        headers = {
            "Location": f"/v2/{repository}/manifests/{digest}",
            "Docker-Content-Digest": digest,
        }
        return Response(status_code=201, headers=headers)

    async def delete_manifest(self, request: Request) -> Response:
        """Serve `DELETE` of a manifest by digest, or of a tag."""
        repository, reference = wire.repository_of(request), wire.reference_of(request)
        delete = (
            self.catalog.delete_manifest
            if is_digest(reference)
            else self.catalog.delete_tag
        )
        if not await asyncio.to_thread(delete, repository, reference):
            raise _unknown_manifest(repository, reference)
        self.announcer.wake()
        return Response(status_code=202)

    async def list_tags(self, request: Request) -> Response:
        """Serve `GET .../tags/list`, in pages of `n` behind `last`."""
        repository, limit = wire.repository_of(request), wire.page_size_of(request)
        after = request.query_params.get("last", "")
        tags = await asyncio.to_thread(
            self.catalog.tags, repository, after=after, limit=limit + 1
        )
        page, headers = tags[:limit], {}
        if page and len(tags) > limit:
            link = f"/v2/{repository}/tags/list?n={limit}&last={page[-1]}"
            headers["Link"] = f'<{link}>; rel="next"'
        return JSONResponse({"name": repository, "tags": page}, headers=headers)

    def _file(self, digest: str, media_type: str) -> Response:
        headers = {"Docker-Content-Digest": digest, "Content-Type": media_type}
        return FileResponse(self.content.path(digest), headers=headers)

    def _mount(self, repository: str, digest: str, source: str) -> bool:
        check_digest(digest)
        if not source or not self.catalog.has_blob(check_repository(source), digest):
            return False
        self.catalog.add_blob(repository, digest)
        return True

    async def _receive(self, upload: str, request: Request) -> int:
        with self.content.append(upload) as file:
            start = file.tell()
            wire.check_content_range(request, start)
            async for chunk in wire.read_chunks(request, self.blob_max_bytes - start):
                file.write(chunk)
            await asyncio.to_thread(save, file)
            return file.tell()

    async def _receive_last(
        self, repository: str, upload: str, request: Request
    ) -> Response:
        digest = check_digest(request.query_params.get("digest", ""))
        await self._receive(upload, request)
        await asyncio.to_thread(self.content.finish_upload, upload, digest)
        await asyncio.to_thread(self.catalog.add_blob, repository, digest)
        return wire.created_blob(repository, digest)

    def _enter(
        self, repository: str, reference: str, body: bytes, media_type: str
    ) -> str:
        self.catalog.check_references(repository, read_references(body, media_type))
        entry = ManifestEntry(self.content.put(body), media_type)
        if is_digest(reference) and reference != entry.digest:
            raise RegistryError(
                Code.DIGEST_INVALID,
                f"expected manifest {reference}, got {entry.digest}",
            )
        tag = None if is_digest(reference) else reference
        self.catalog.put_manifest(repository, entry, tag=tag)
        return entry.digest


def make_app(registry: Registry) -> Starlette:
    """Lay the routes; names may hold slashes, so the longest come first."""
    upload = "/v2/{name:path}/blobs/uploads/{upload}"
    manifest = "/v2/{name:path}/manifests/{reference}"
    routes = [
        Route("/v2/", registry.ping),
        Route("/v2/{name:path}/tags/list", registry.list_tags),
        Route(
            "/v2/{name:path}/blobs/uploads/", registry.start_upload, methods=["POST"]
        ),
        Route(upload, registry.get_upload, methods=["GET"]),
        Route(upload, registry.patch_upload, methods=["PATCH"]),
        Route(upload, registry.put_upload, methods=["PUT"]),
        Route(upload, registry.delete_upload, methods=["DELETE"]),
        Route("/v2/{name:path}/blobs/{digest}", registry.get_blob),
        Route(manifest, registry.get_manifest, methods=["GET"]),
        Route(manifest, registry.put_manifest, methods=["PUT"]),
        Route(manifest, registry.delete_manifest, methods=["DELETE"]),
    ]
    return Starlette(routes=routes, exception_handlers=wire.HANDLERS)


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip()


def _unknown_manifest(repository: str, reference: str) -> RegistryError:
    return RegistryError(
        Code.MANIFEST_UNKNOWN, f"{repository} holds no manifest {reference}"
    )
