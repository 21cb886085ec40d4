// SPDX-License-Identifier: MIT
/*
 * What payloads are built against in test_cc.c. Nothing here calls the C library, so that what callers rely
 * on is all to be seen. With no argument it ends at once; with one it waits until its standard input ends.
 */
int counter;
volatile int sink;
__thread int mine;

__attribute__((noinline)) static int twin(int x)
{
	return x * 5 + counter;
}

__attribute__((noinline)) static int local_helper(int x)
{
	return x * 3 + counter;
}

__attribute__((noinline)) int answer(int x)
{
	counter++;
	mine++;
	return local_helper(x) + twin(x);
}

__attribute__((noinline)) int copied(int x)
{
	sink = x;
	return x + counter;
}

/* As a compiler names the copies that it makes; a name by hand is there with every compiler. */
__attribute__((noinline)) int copied_clone(int x) __asm__("copied.constprop.0");
int copied_clone(int x)
{
	sink = x + 7;
	return x + 7 + counter;
}

static int chosen_one(void)
{
	return 1;
}

static int (*choose(void))(void)
{
	return chosen_one;
}
int chosen(void) __attribute__((ifunc("choose")));

/*
 * known: 5 bytes "mov", 3 "add", 5 "mov", "ret"; short_one: a byte less than a jump; short_endbr: room for
 * one, but not after the endbr64; no_size: no end.
 */
__asm__(".text\n"
	".globl known, short_one, short_endbr, no_size\n"
	".type known, @function\n.type short_one, @function\n.type short_endbr, @function\n.type no_size, "
	"@function\n"
	"known: movl $1, %eax\n addl $2, %eax\n movl $3, %ecx\n ret\n.size known, . - known\n"
	"short_one: xorl %eax, %eax\n nop\n ret\n.size short_one, . - short_one\n"
	"short_endbr: endbr64\n movl $1, %eax\n.size short_endbr, . - short_endbr - 1\n ret\n"
	"no_size: movl $1, %eax\n movl $2, %eax\n ret\n");

int other_twin(int x);

/* Nothing but answer()'s result is used after it: no register is relied on. */
__attribute__((noinline)) static void loop(int n)
{
	sink = answer(n);
	sink = copied(n);
	sink = copied_clone(n);
	sink = other_twin(n);
}

/* read() and write(), without the library: a call into it might use any argument register, as far as can be
 * seen. */
static long transfer(long number, long fd, char *byte)
{
	long result = number;
	__asm__ volatile("syscall" : "+a"(result) : "D"(fd), "S"(byte), "d"(1L) : "rcx", "r11", "memory");
	return result;
}

int main(int argc, char **argv)
{
	char byte = 'r'; /* ready */
	(void)argv;
	if (argc > 1 && transfer(1, 1, &byte) == 1) {
		while (transfer(0, 0, &byte) > 0)
			;
	}
	loop(argc);
	return 0;
}
