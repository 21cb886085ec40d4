// SPDX-License-Identifier: MIT
#include "build/object/kind.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

#ifndef SHT_X86_64_UNWIND /* musl's elf.h */
#define SHT_X86_64_UNWIND 0x70000001
#endif
#ifndef SHT_LLVM_ADDRSIG
#define SHT_LLVM_ADDRSIG 0x6fff4c03
#endif

static bool begins(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* ".data" and ".data.x", not ".database". */
static bool is_or_under(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);
	return !strncmp(name, prefix, n) && (!name[n] || name[n] == '.');
}

const char *object_kind_reason(const char *name, uint32_t type, uint64_t flags)
{
	switch (type) {
	case SHT_NULL:
		return "empty";
	case SHT_SYMTAB:
	case SHT_STRTAB:
	case SHT_RELA:
	case SHT_GROUP:
	case SHT_SYMTAB_SHNDX:
		return "a table of the object file itself: what it says is compared where it is used";
	case SHT_LLVM_ADDRSIG:
		return "a hint for the linker";
	default:
		break;
	}
	if (begins(name, ".debug_") || begins(name, ".zdebug_") || is_or_under(name, ".stab") ||
	    begins(name, ".gnu.debuglto_"))
		return "debug information: not loaded";
	if (!strcmp(name, ".eh_frame") || type == SHT_X86_64_UNWIND)
		return "unwind information: follows from the code";
	if (!strcmp(name, ".comment") || !strcmp(name, ".GCC.command.line") || !strcmp(name, ".llvmcmd"))
		return "the compiler's name and flags: not loaded";
	if (!strcmp(name, ".note.GNU-stack") || !strcmp(name, ".note.gnu.property"))
		return "a mark for the linker";
	if (!strcmp(name, ".llvm_addrsig"))
		return "a hint for the linker";
	if (!(flags & SHF_ALLOC))
		return "not loaded into the program";
	return NULL;
}

enum object_kind object_kind(const char *name, uint32_t type, uint64_t flags)
{
	if (begins(name, ".gnu.lto_") || begins(name, ".llvmbc") || begins(name, ".llvm.lto"))
		return OBJECT_KIND_LTO;
	if (object_kind_reason(name, type, flags))
		return OBJECT_KIND_IGNORED;
	if (begins(name, ".usplice."))
		return OBJECT_KIND_RECORDS;
	if (type == SHT_INIT_ARRAY || type == SHT_FINI_ARRAY || type == SHT_PREINIT_ARRAY ||
	    is_or_under(name, ".init_array") || is_or_under(name, ".fini_array") ||
	    is_or_under(name, ".ctors") || is_or_under(name, ".dtors") || !strcmp(name, ".init") ||
	    !strcmp(name, ".fini"))
		return OBJECT_KIND_START;
	if (type != SHT_PROGBITS && type != SHT_NOBITS)
		return OBJECT_KIND_SPECIAL;
	if (flags & SHF_EXECINSTR)
		return type == SHT_PROGBITS ? OBJECT_KIND_CODE : OBJECT_KIND_SPECIAL;
	if (begins(name, ".gcc_except_table"))
		return OBJECT_KIND_SPECIAL;
	if (flags & SHF_TLS)
		return OBJECT_KIND_TLS;
	if (type == SHT_NOBITS)
		return OBJECT_KIND_BSS;
	if ((flags & (SHF_MERGE | SHF_WRITE)) == SHF_MERGE)
		return flags & SHF_STRINGS ? OBJECT_KIND_STRINGS : OBJECT_KIND_MERGED;
	if (is_or_under(name, ".data.rel.ro") || is_or_under(name, ".rodata") ||
	    is_or_under(name, ".lrodata"))
		return OBJECT_KIND_CONSTANT;
	if (flags & SHF_WRITE)
		return OBJECT_KIND_DATA;
	return OBJECT_KIND_SPECIAL;
}

bool object_kind_is_plain(const char *name)
{
	static const char *const plain[] = {".data",  ".bss",  ".rodata",  ".tdata", ".tbss",  ".text",
					    ".ldata", ".lbss", ".lrodata", ".ltext", ".common"};
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (is_or_under(name, plain[i]))
			return true;
	return false;
}
