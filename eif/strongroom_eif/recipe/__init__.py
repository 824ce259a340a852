"""How the image is made: pinned inputs by hash, a toolchain root, a kernel, an emulator to try it.

Unlike the rest of `strongroom_eif`, whose modules take bytes and never import this package, what is
here reads files, fetches inputs and starts compilers. Nothing in it is trusted by hope: an input is
used only if its SHA-256 is the one committed under `reproducible-build/pins`, every program that
takes part in a build comes from such an input and runs in a root made of them, without network and
without anything of the caller's environment. So two people's builds differ only if their inputs do.
"""
