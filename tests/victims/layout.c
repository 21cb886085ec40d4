/* SPDX-License-Identifier: MIT */
/* Functions at awkward places: too short for a jump, with a neighbour right behind, across a page, sharing a
 * cache line, after endbr64. */
#include "victim.h"

__asm__(".text\n"
	/* one byte; its neighbour follows at once */
	".globl tiny1\n.type tiny1, @function\ntiny1:	ret\n.size tiny1, . - tiny1\n"
	".globl tiny4\n.type tiny4, @function\ntiny4:	xor %eax, %eax\n	nop\n	ret\n.size tiny4, . "
	"- tiny4\n"
	/* exactly five and six bytes, packed */
	".globl five\n.type five, @function\nfive:	push $5\n	pop %rax\n	nop\n	ret\n.size "
	"five, . - five\n"
	".globl six\n.type six, @function\nsix:	mov $6, %eax\n	ret\n.size six, . - six\n"
	".globl seventh\n.type seventh, @function\nseventh:	mov $7, %eax\n	ret\n.size seventh, . - "
	"seventh\n"
	/* two in one cache line */
	".p2align 6\n"
	".globl line_a\n.type line_a, @function\nline_a:	mov $1, %eax\n	ret\n.size line_a, . - "
	"line_a\n"
	".globl line_b\n.type line_b, @function\nline_b:	mov $2, %eax\n	ret\n.size line_b, . - "
	"line_b\n"
	/* its first five bytes lie across a cache line */
	".p2align 6\n.skip 61, 0x90\n"
	".globl over_line\n.type over_line, @function\nover_line:	mov $3, %eax\n	ret\n.size "
	"over_line, . - over_line\n"
	/* its first five bytes lie across a page */
	".p2align 12\n.skip 4093, 0x90\n"
	".globl over_page\n.type over_page, @function\nover_page:	mov $4, %eax\n	ret\n.size "
	"over_page, . - over_page\n"
	/* endbr64 at the entry, kept by the patch */
	".p2align 4\n"
	".globl branded\n.type branded, @function\nbranded:	endbr64\n	mov $8, %eax\n	ret\n.size "
	"branded, . - branded\n"
	/* endbr64 and too little behind it */
	".globl branded_short\n.type branded_short, @function\nbranded_short:	endbr64\n	xor %eax, "
	"%eax\n	ret\n"
	".size branded_short, . - branded_short\n"
	/* jumps back to its own fifth byte: what a jump would overwrite is a branch's target */
	".globl looper\n.type looper, @function\nlooper:	xor %eax, %eax\n1:	inc %eax\n	cmp "
	"$9, %eax\n	jne 1b\n	ret\n"
	".size looper, . - looper\n");

extern int tiny1(void), tiny4(void), five(void), six(void), seventh(void), line_a(void), line_b(void),
	over_line(void), over_page(void), branded(void), branded_short(void), looper(void);

int main(void)
{
	static const struct {
		const char *name;
		int (*f)(void);
	} table[] = {{"tiny4", tiny4},
		     {"five", five},
		     {"six", six},
		     {"seventh", seventh},
		     {"line_a", line_a},
		     {"line_b", line_b},
		     {"over_line", over_line},
		     {"over_page", over_page},
		     {"branded", branded},
		     {"branded_short", branded_short},
		     {"looper", looper}};
	char line[VICTIM_LINE];
	tiny1();
	victim_ready();
	while (victim_next(line)) {
		bool found = false;
		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			if (!strcmp(line, table[i].name)) {
				victim_say("%d", table[i].f());
				found = true;
			}
		if (!found)
			victim_say("error: no command %s", line);
	}
	return 0;
}
