// SPDX-License-Identifier: MIT
// Sections that are not loaded say nothing; one that is, and that nobody knows, is a problem.
// PROBLEM section .note.hand
#ifdef PATCHED
__asm__(".pushsection .hand.comment, \"\", @progbits\n.string \"two\"\n.popsection\n"
	".pushsection .note.hand, \"a\", @note\n.long 4, 4, 2\n.asciz \"abc\"\n.long 2\n.popsection\n");
#else
__asm__(".pushsection .hand.comment, \"\", @progbits\n.string \"one\"\n.popsection\n"
	".pushsection .note.hand, \"a\", @note\n.long 4, 4, 2\n.asciz \"abc\"\n.long 1\n.popsection\n");
#endif
int f(int x)
{
	return x + 1;
}
