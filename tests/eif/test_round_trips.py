"""What is written is read back equal, and what is read is written back byte for byte."""

import gzip
import itertools
import stat

from hypothesis import given
from hypothesis import strategies as st
from strongroom_eif import (
    FOREIGN,
    OWN,
    Architecture,
    BuildMetadata,
    Image,
    Metadata,
    Node,
    Section,
    SectionType,
    archive,
    compress,
    entries,
    parse,
    parse_metadata,
    serialise,
)
from strongroom_eif.paths import Tree

from tests.eif.samples import baseline

filled = st.binary(min_size=1, max_size=200)
U64 = st.integers(0, (1 << 64) - 1)


@st.composite
def images(draw: st.DrawFn) -> Image:
    """Any image that the format allows, sections in any order that it allows."""
    version = draw(st.sampled_from([3, 4]))
    others = [Section(SectionType.CMDLINE, draw(st.binary(max_size=100)))]
    if version == 4:
        others.append(Section(SectionType.METADATA, draw(filled)))
    if draw(st.booleans()):
        others.append(Section(SectionType.SIGNATURE, draw(filled)))
    ramdisks = draw(st.lists(filled, min_size=1, max_size=28))
    sections = [Section(SectionType.KERNEL, draw(filled))]
    sections += [Section(SectionType.RAMDISK, data) for data in ramdisks]
    for section in others:
        sections.insert(draw(st.integers(0, len(sections))), section)
    # A section put in front of the kernel leaves all ramdisks behind it.
    return Image(
        sections=tuple(sections),
        architecture=draw(st.sampled_from(Architecture)),
        version=version,
        default_mem=draw(U64),
        default_cpus=draw(U64),
    )


@given(images())
def test_write_then_read(image: Image) -> None:
    data = serialise(image)
    assert parse(data) == image
    assert serialise(parse(data)) == data
    assert len(data) == image.size


@given(images())
def test_a_signature_put_on_and_taken_off_leaves_the_file_as_it_was(image: Image) -> None:
    if image.signature is not None:
        image = image.without_signature()
    data = serialise(image)
    signed = parse(serialise(image.with_signature(b"some signature")))
    assert serialise(signed.without_signature()) == data


components = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/"), min_size=1
).filter(lambda text: text not in (".", "..") and len(text.encode()) <= 255)


@st.composite
def nodes(draw: st.DrawFn) -> list[Node]:
    """A small tree: directories first, then what lies in them."""
    found: dict[str, Node] = {}
    directories = [""]
    for name in draw(st.lists(components, max_size=8, unique=True)):
        path = draw(st.sampled_from(directories)) + name
        if path == "TRAILER!!!":
            continue
        mode = draw(st.integers(0, 0o7777))
        match draw(st.sampled_from("dfl")):
            case "d":
                found[path] = Node.directory(path, mode)
                directories.append(f"{path}/")
            case "f":
                content = draw(st.binary(max_size=40))
                found[path] = Node.file(path, content, mode).owned_by(draw(ids), draw(ids))
            case _:
                found[path] = Node.link(path, draw(components))
    return list(found.values())


ids = st.integers(0, (1 << 32) - 1)


@given(nodes())
def test_an_archive_read_back_holds_what_was_put_in(tree: list[Node]) -> None:
    data = b"".join(archive(tree))
    shuffled = sorted(tree, key=lambda node: node.path[::-1])
    assert b"".join(archive(shuffled)) == data
    assert len(data) % 4 == 0
    found = {entry.path: entry for entry in entries(data)}
    assert found.keys() == {node.path for node in tree}
    for node in tree:
        entry = found[node.path]
        assert (entry.mode, entry.uid, entry.gid) == (node.mode, node.uid, node.gid)
        assert (entry.mtime, entry.nlink, entry.size) == (0, 1, len(node.content))
        if stat.S_ISLNK(node.mode):
            assert entry.target.encode() == bytes(node.content)
    # What the writer took, a reader with the same policy takes.
    rules = Tree(OWN)
    for entry in entries(data):
        rules.add(entry.path, entry.mode, nlink=entry.nlink, archive=entry.archive)
    packed = b"".join(compress([data]))
    assert gzip.decompress(packed) == data
    assert list(entries(packed)) == list(entries(data))


@given(st.binary(max_size=5_000), st.lists(st.integers(0, 5_000), max_size=6))
def test_compression_does_not_depend_on_how_content_was_cut(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert b"".join(compress(pieces)) == b"".join(compress([data]))


text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.tuples(text, text, text, text, text, text),
    st.none() | st.dictionaries(text, json_values, max_size=3),
    json_values,
)
def test_metadata(texts: tuple[str, ...], docker: dict[str, object] | None, custom: object) -> None:
    label = Metadata(
        texts[0],
        texts[1],
        BuildMetadata("2026-11-20T00:00:00+00:00", *texts[2:]),
        docker,  # type: ignore[arg-type]
        custom,  # type: ignore[arg-type]
    )
    section = label.to_json()
    assert parse_metadata(section) == label
    assert parse_metadata(section).to_json() == section


def test_both_readings_of_a_foreign_image() -> None:
    assert FOREIGN.loose_paths
    data = baseline().data()
    assert serialise(parse(memoryview(bytearray(data)))) == data
