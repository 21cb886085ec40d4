/* SPDX-License-Identifier: MIT */
/* The functions of sample.c, for both who calls them. */
#ifndef SAMPLE_NAMES_H
#define SAMPLE_NAMES_H

/* clang-format off */
#define SAMPLE_NAMES(F)                                                                               \
	F(globals)                                                                                    \
	F(statics)                                                                                    \
	F(strings)                                                                                    \
	F(jump_table)                                                                                 \
	F(floating)                                                                                   \
	F(library) F(callbacks) F(weak) F(varargs) F(computed_goto) F(recursion) F(structures) F(tls) \
		F(tls_ie) F(tls_ld) F(tls_le) F(inline_asm) F(cold)
/* clang-format on */

#endif
