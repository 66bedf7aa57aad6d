"""`files zip` and `files form`."""

from __future__ import annotations

import html
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from .bars import transfer_bars
from .printing import emit, size, usual_time
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.transfers import FormUpload

__all__ = ["open_form", "zip_folder"]

_OfOwner = Annotated[str | None, typer.Option("--owner", "-o", help="What this user shares, instead of your files.")]

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Upload into {folder}</title>
<h1>Upload into {folder}</h1>
<p>A file at a time, {most} at most, until {expires}. It is kept under its own name.</p>
<form method="post" action="{url}" enctype="multipart/form-data">
{fields}
<input type="file" name="file" required>
<button>Upload</button>
</form>
</html>
"""


def zip_folder(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(help="A folder; `/` is everything.")],
    local: Annotated[
        Path | None, typer.Argument(help="Where to; a folder that exists takes it in.", show_default="here")
    ] = None,
    owner: _OfOwner = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a folder as one zip, which is made while it travels and may be of any size.

    Example: `shunter files zip data/d1`
    """
    name = f"{PurePosixPath(folder.strip('/')).name or 'files'}.zip"
    target = Path(name) if local is None else local / name if local.is_dir() else local
    with session_of(ctx).client() as client, transfer_bars() as bars:
        length = client.bulk.zip(folder.strip("/"), target, owner=owner, progress=bars(target.name))
    if as_json:
        emit({"path": str(target), "size": length})
        return
    typer.echo(f"{target}  {size(length)}")


def open_form(
    ctx: typer.Context,
    folder: Annotated[str, typer.Argument(help="Where the files go; `/` is the top.")],
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a page with the form to this file, to open in a browser.")
    ] = None,
    most: Annotated[int | None, typer.Option(min=1, help="Bytes that one file may have.", show_default="5 GiB")] = None,
    expires: Annotated[float, typer.Option(min=1, max=604800, help="Seconds that it is good for.")] = 600.0,
    owner: _OfOwner = None,
    as_json: AsJson = False,
) -> None:
    """Get a form by which a browser brings files into a folder, for somebody without a terminal or an account.

    Whoever has the form can bring files there until it expires; they can neither see nor take away anything.

    Example: `shunter files form data/d1 --html upload.html --expires 86400`
    """
    with session_of(ctx).client() as client:
        form = client.bulk.form(folder.strip("/"), owner=owner, most=most, expires=expires)
    if page:
        page.write_text(_page(form))
        page.chmod(0o600)
    if as_json:
        emit(form)
        return
    typer.echo(f"into {form.folder or 'all files'}, {size(form.most)} a file, until {usual_time(form.expires_at)}")
    typer.echo(f"open {page} in a browser" if page else f"POST the fields and then a field `file` to {form.url}")
    for name, value in {} if page else form.fields.items():
        typer.echo(f"  {name}: {value}")


def _page(form: FormUpload) -> str:
    fields = "\n".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in form.fields.items()
    )
    return _PAGE.format(
        folder=html.escape(form.folder or "all files"),
        most=size(form.most),
        expires=usual_time(form.expires_at),
        url=html.escape(form.url),
        fields=fields,
    )
