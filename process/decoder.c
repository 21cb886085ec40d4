// SPDX-License-Identifier: MIT
#include "process/decoder.h"

const ZydisDecoder decoder_x86_64 = {
	.machine_mode = ZYDIS_MACHINE_MODE_LONG_64,
	.stack_width = ZYDIS_STACK_WIDTH_64,
	.decoder_mode = {[ZYDIS_DECODER_MODE_CET] = ZYAN_TRUE,
			 [ZYDIS_DECODER_MODE_LZCNT] = ZYAN_TRUE,
			 [ZYDIS_DECODER_MODE_TZCNT] = ZYAN_TRUE,
			 [ZYDIS_DECODER_MODE_MPX] = ZYAN_TRUE},
};
