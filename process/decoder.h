/* SPDX-License-Identifier: MIT */
/*
 * The one set-up of the instruction decoder: x86-64 as today's processors take it, where encodings have been given
 * new meanings (CET, LZCNT, TZCNT, MPX).
 */
#ifndef PROCESS_DECODER_H
#define PROCESS_DECODER_H

#include <Zydis/Zydis.h>

extern const ZydisDecoder decoder_x86_64;

#endif
