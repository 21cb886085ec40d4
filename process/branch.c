// SPDX-License-Identifier: MIT
#include "process/branch.h"

#include <stdlib.h>

#include <Zydis/Zydis.h>

struct branch_decoder {
	ZydisDecoder decoder;
};

struct branch_decoder *branch_decoder_create(void)
{
	struct branch_decoder *decoder = malloc(sizeof(*decoder));
	if (decoder && !ZYAN_SUCCESS(ZydisDecoderInit(&decoder->decoder, ZYDIS_MACHINE_MODE_LONG_64,
						      ZYDIS_STACK_WIDTH_64))) {
		free(decoder);
		return NULL;
	}
	return decoder;
}

void branch_decoder_destroy(struct branch_decoder *decoder)
{
	free(decoder);
}

bool branch_decode(const struct branch_decoder *decoder, const uint8_t *bytes, uint64_t n, uint64_t address,
		   struct step *ret)
{
	ZydisDecodedInstruction instruction;
	if (!n ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder->decoder, NULL, bytes, n, &instruction)))
		return false;
	ZydisInstructionCategory category = instruction.meta.category;
	*ret = (struct step){
		.length = instruction.length,
		.is_call = category == ZYDIS_CATEGORY_CALL,
		.is_branch = category == ZYDIS_CATEGORY_COND_BR || category == ZYDIS_CATEGORY_UNCOND_BR ||
			     instruction.mnemonic == ZYDIS_MNEMONIC_XBEGIN,
		.is_landmark = instruction.mnemonic == ZYDIS_MNEMONIC_ENDBR64,
		.ends = category == ZYDIS_CATEGORY_UNCOND_BR || category == ZYDIS_CATEGORY_RET ||
			instruction.mnemonic == ZYDIS_MNEMONIC_UD2 ||
			instruction.mnemonic == ZYDIS_MNEMONIC_HLT,
	};
	if ((ret->is_branch || ret->is_call) && instruction.raw.imm[0].is_relative) {
		ret->is_direct = true;
		ret->target = address + instruction.length + (uint64_t)instruction.raw.imm[0].value.s;
	} else if (ret->is_branch) {
		ret->by_slot = (instruction.attributes & ZYDIS_ATTRIB_HAS_MODRM) &&
			       instruction.raw.modrm.mod == 0 && instruction.raw.modrm.rm == 5;
	}
	return true;
}
