// SPDX-License-Identifier: MIT
#include "payload/relocation.h"

#include "payload/file.h"

#define F(x) PAYLOAD_FORMULA_##x
#define U(x) PAYLOAD_USE_##x

#define DYNAMIC \
	"it belongs in linked files, and this one is to be relocatable (compile with -c, link with -r)"
#define NARROW "no compiler needs it; a payload has 32 and 64 bit relocations only"

static const struct payload_relocation_type types[] = {
	[R_X86_64_NONE] = {"R_X86_64_NONE", F(NONE), 0, false, 0, NULL},
	[R_X86_64_64] = {"R_X86_64_64", F(ABSOLUTE), 8, false, U(VALUE), NULL},
	[R_X86_64_PC32] = {"R_X86_64_PC32", F(PC), 4, true, U(VALUE), NULL},
	[R_X86_64_GOT32] = {"R_X86_64_GOT32", F(WORD_GOT), 4, true, U(WORD), NULL},
	[R_X86_64_PLT32] = {"R_X86_64_PLT32", F(BRANCH), 4, true, U(VALUE) | U(SLOT), NULL},
	[R_X86_64_COPY] = {"R_X86_64_COPY", F(REFUSED), 0, false, 0, DYNAMIC},
	[R_X86_64_GLOB_DAT] = {"R_X86_64_GLOB_DAT", F(REFUSED), 0, false, 0, DYNAMIC},
	[R_X86_64_JUMP_SLOT] = {"R_X86_64_JUMP_SLOT", F(REFUSED), 0, false, 0, DYNAMIC},
	[R_X86_64_RELATIVE] = {"R_X86_64_RELATIVE", F(REFUSED), 0, false, 0, DYNAMIC},
	[R_X86_64_GOTPCREL] = {"R_X86_64_GOTPCREL", F(WORD_PC), 4, true, U(WORD), NULL},
	[R_X86_64_32] = {"R_X86_64_32", F(ABSOLUTE), 4, false, U(VALUE), NULL},
	[R_X86_64_32S] = {"R_X86_64_32S", F(ABSOLUTE), 4, true, U(VALUE), NULL},
	[R_X86_64_16] = {"R_X86_64_16", F(REFUSED), 2, false, 0, NARROW},
	[R_X86_64_PC16] = {"R_X86_64_PC16", F(REFUSED), 2, true, 0, NARROW},
	[R_X86_64_8] = {"R_X86_64_8", F(REFUSED), 1, false, 0, NARROW},
	[R_X86_64_PC8] = {"R_X86_64_PC8", F(REFUSED), 1, true, 0, NARROW},
	[R_X86_64_DTPMOD64] = {"R_X86_64_DTPMOD64", F(REFUSED), 8, false, 0, DYNAMIC},
	[R_X86_64_DTPOFF64] = {"R_X86_64_DTPOFF64", F(DTPOFF), 8, true, U(DTPOFF), NULL},
	[R_X86_64_TPOFF64] = {"R_X86_64_TPOFF64", F(TPOFF), 8, true, U(TPOFF), NULL},
	[R_X86_64_TLSGD] = {"R_X86_64_TLSGD", F(TLSGD), 4, true, U(TLSGD), NULL},
	[R_X86_64_TLSLD] = {"R_X86_64_TLSLD", F(TLSLD), 4, true, U(TLSLD), NULL},
	[R_X86_64_DTPOFF32] = {"R_X86_64_DTPOFF32", F(DTPOFF), 4, true, U(DTPOFF), NULL},
	[R_X86_64_GOTTPOFF] = {"R_X86_64_GOTTPOFF", F(GOTTPOFF), 4, true, U(GOTTP), NULL},
	[R_X86_64_TPOFF32] = {"R_X86_64_TPOFF32", F(TPOFF), 4, true, U(TPOFF), NULL},
	[R_X86_64_PC64] = {"R_X86_64_PC64", F(PC), 8, true, U(VALUE), NULL},
	[R_X86_64_GOTOFF64] = {"R_X86_64_GOTOFF64", F(GOT_OFFSET), 8, true, U(VALUE), NULL},
	[R_X86_64_GOTPC32] = {"R_X86_64_GOTPC32", F(GOT_PC), 4, true, 0, NULL},
	[R_X86_64_GOT64] = {"R_X86_64_GOT64", F(WORD_GOT), 8, true, U(WORD), NULL},
	[R_X86_64_GOTPCREL64] = {"R_X86_64_GOTPCREL64", F(WORD_PC), 8, true, U(WORD), NULL},
	[R_X86_64_GOTPC64] = {"R_X86_64_GOTPC64", F(GOT_PC), 8, true, 0, NULL},
	[R_X86_64_GOTPLT64] = {"R_X86_64_GOTPLT64", F(WORD_GOT), 8, true, U(WORD), NULL},
	[R_X86_64_PLTOFF64] = {"R_X86_64_PLTOFF64", F(GOT_OFFSET), 8, true, U(VALUE), NULL},
	[R_X86_64_SIZE32] = {"R_X86_64_SIZE32", F(SIZE), 4, false, U(SIZE), NULL},
	[R_X86_64_SIZE64] = {"R_X86_64_SIZE64", F(SIZE), 8, false, U(SIZE), NULL},
	[R_X86_64_GOTPC32_TLSDESC] = {"R_X86_64_GOTPC32_TLSDESC", F(TLSDESC), 4, true, U(TLSDESC), NULL},
	[R_X86_64_TLSDESC_CALL] = {"R_X86_64_TLSDESC_CALL", F(TLSDESC), 2, true, U(TLSDESC), NULL},
	[R_X86_64_TLSDESC] = {"R_X86_64_TLSDESC", F(REFUSED), 8, false, 0, DYNAMIC},
	[R_X86_64_IRELATIVE] = {"R_X86_64_IRELATIVE", F(REFUSED), 8, false, 0, DYNAMIC},
	[R_X86_64_RELATIVE64] = {"R_X86_64_RELATIVE64", F(REFUSED), 8, false, 0, DYNAMIC},
	[39] = {"R_X86_64_PC32_BND", F(REFUSED), 4, true, 0, "compile without MPX"},
	[40] = {"R_X86_64_PLT32_BND", F(REFUSED), 4, true, 0, "compile without MPX"},
	[R_X86_64_GOTPCRELX] = {"R_X86_64_GOTPCRELX", F(WORD_PC), 4, true, U(WORD), NULL},
	[R_X86_64_REX_GOTPCRELX] = {"R_X86_64_REX_GOTPCRELX", F(WORD_PC), 4, true, U(WORD), NULL},
};

const struct payload_relocation_type *payload_relocation_type(uint32_t type)
{
	if (type >= sizeof(types) / sizeof(types[0]) || !types[type].name)
		return NULL;
	return &types[type];
}
