"""Empties in PyAV's wheel what decoding audio never runs: the coders of video, and what only a debugger reads.

    python3 trim.py FOLDER

FFmpeg's libavcodec is linked to coders of video and cannot be loaded without them, though nothing here reaches them:
`hongyan.audio` opens for reading alone and names the decoders that may be used. So they stay as libraries, with every
name that they export, and each of their functions returns 0 at once. To FFmpeg, which asks some of them for what they
can do when it lists its codecs, they can do nothing. What is written is one pattern over and over, of which a ZIP
keeps next to nothing.

Needs pyelftools, which the project's environment has. Wheels of other systems than Linux stay as they are.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section, SymbolTableSection

_OF_VIDEO = ("libSvtAv1Enc", "libdav1d", "libvpx", "libx264", "libx265")

# A function that returns, for whatever is not called by name, and one that returns 0, as machine code (Arm ARM: RET;
# MOV w0, 0. Intel SDM: RET; XOR eax, eax).
_RETURN = {"EM_AARCH64": bytes.fromhex("c0035fd6"), "EM_X86_64": bytes.fromhex("c3")}
_RETURN_0 = {"EM_AARCH64": bytes.fromhex("00008052 c0035fd6"), "EM_X86_64": bytes.fromhex("31c0 c3")}
_DEBUG = (".debug", ".symtab", ".strtab")
_ELF_MAGIC = b"\x7fELF"


def main() -> None:
    """Trim what pip has installed into a folder."""
    folder = Path(sys.argv[1])
    for file in _elf_files(folder / "av", "**/*.so"):
        _blank(file, _DEBUG)
    for name in _OF_VIDEO:
        for library in _elf_files(folder / "av.libs", f"{name}-*"):
            _hollow_out(library)
            _blank(library, (*_DEBUG, ".rodata", ".eh_frame"))


def _elf_files(folder: Path, pattern: str) -> Iterator[Path]:
    for file in sorted(folder.glob(pattern)):
        with file.open("rb") as opened:
            if opened.read(len(_ELF_MAGIC)) == _ELF_MAGIC:
                yield file


def _hollow_out(library: Path) -> None:
    with library.open("r+b") as opened:
        elf = ELFFile(opened)
        code, machine = _section(elf, ".text"), elf["e_machine"]
        emptied = bytearray(_RETURN[machine] * (code["sh_size"] // len(_RETURN[machine])))
        for address in _functions(elf):
            at = address - code["sh_addr"]
            if not 0 <= at < len(emptied):
                sys.exit(f"{library.name} has a function outside of its code.")
            emptied[at : at + len(_RETURN_0[machine])] = _RETURN_0[machine]
        opened.seek(code["sh_offset"])
        opened.write(emptied)


def _functions(elf: ELFFile) -> Iterator[int]:
    symbols = _section(elf, ".dynsym")
    if not isinstance(symbols, SymbolTableSection):
        sys.exit("What a library exports does not stand in a table of symbols.")
    for symbol in symbols.iter_symbols():
        if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_shndx"] != "SHN_UNDEF":
            yield symbol["st_value"]


def _section(elf: ELFFile, name: str) -> Section:
    section = elf.get_section_by_name(name)
    if section is None:
        sys.exit(f"A library has no section {name}.")
    return section


def _blank(file: Path, sections: tuple[str, ...]) -> None:
    with file.open("r+b") as opened:
        for section in [section for section in ELFFile(opened).iter_sections() if section.name.startswith(sections)]:
            opened.seek(section["sh_offset"])
            opened.write(bytes(section["sh_size"]))


if __name__ == "__main__":
    main()
