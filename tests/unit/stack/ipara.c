// SPDX-License-Identifier: MIT
/*
 * What test_clobber.c looks at. Built twice with gcc -O2: as it is, where callers keep values in registers
 * that they see their callee leave alone, and with -fno-ipa-ra, where none does.
 */
#define LEAF   static __attribute__((noinline, noclone))
#define PUBLIC __attribute__((noinline, visibility("default")))

extern long outside(long x);
extern void outside_void(void);
__attribute__((visibility("hidden"))) long counter;
extern int puts(const char *s);

LEAF long leaf(long x)
{
	return x * 3 + 1;
}
PUBLIC long keeper(long a, long b, long c);
PUBLIC long keeper(long a, long b, long c)
{
	return leaf(a) + 2 * b + 3 * c;
}

/* Through a function in between that leaves the register alone too. */
LEAF long inner(long x)
{
	return x * 5 + 1;
}
LEAF long middle(long x)
{
	return inner(x) + 1;
}
PUBLIC long outer(long a, long b);
PUBLIC long outer(long a, long b)
{
	return middle(a) + b;
}

/* The same with a tail call in between. */
LEAF long tail_inner(long x)
{
	return x * 5 + 2;
}
LEAF long tail_middle(long x)
{
	return tail_inner(x + 1);
}
PUBLIC long tail_outer(long a, long b);
PUBLIC long tail_outer(long a, long b)
{
	return tail_middle(a) + b;
}

/* A parameter handed on to another module, never touched. */
LEAF void touch_argument(void)
{
	counter++;
}
PUBLIC int hands_on(const char *s);
PUBLIC int hands_on(const char *s)
{
	touch_argument();
	return puts(s);
}

/* A result that stays where it was returned. */
LEAF void touch_result(void)
{
	counter += 2;
}
PUBLIC long returns(long x);
PUBLIC long returns(long x)
{
	long r = outside(x);
	touch_result();
	return r;
}

/* Floating point. */
LEAF void touch_float(void)
{
	counter += 3;
}
PUBLIC double keeps_float(double x, double y);
PUBLIC double keeps_float(double x, double y)
{
	touch_float();
	return x * y;
}

/* Read only behind a switch. */
LEAF void touch_switch(void)
{
	counter += 4;
}
PUBLIC long switches(long which, long b);
PUBLIC long switches(long which, long b)
{
	touch_switch();
	switch (which) {
	case 0:
		return puts("one");
	case 1:
		return b * 7;
	case 2:
		return counter;
	case 3:
		return counter * 3 + 5;
	case 4:
		return counter - 2;
	case 5:
		return puts("six") + 1;
	default:
		return 0;
	}
}

/* Nothing is kept. */
LEAF void touch_nothing(void)
{
	counter += 5;
}
PUBLIC void keeps_nothing(void);
PUBLIC void keeps_nothing(void)
{
	outside_void();
	touch_nothing();
	outside_void();
}

/* Called by pointer only. */
LEAF long by_pointer(long x)
{
	return x * 9 + 1;
}
long (*volatile pointer)(long) = by_pointer;
PUBLIC long calls_pointer(long a, long b);
PUBLIC long calls_pointer(long a, long b)
{
	return pointer(a) + b;
}

/* Recursion, mutual. */
LEAF long odd(long x);
LEAF long even(long x)
{
	return x ? odd(x - 1) * 3 : 1;
}
LEAF long odd(long x)
{
	return x ? even(x - 1) * 5 : 0;
}
PUBLIC long recurses(long a, long b);
PUBLIC long recurses(long a, long b)
{
	return even(a) + b;
}

PUBLIC long calls_out(long a);
PUBLIC long calls_out(long a)
{
	return outside(a) + 1;
}

/* Saves what it uses: leaves rcx alone, though it writes it. Its caller knows. */
__asm__(".text\n.type saves,@function\nsaves:\n.cfi_startproc\npush %rcx\nmov $1,%ecx\nadd %rcx,%rdi\npop "
	"%rcx\nret\n"
	".cfi_endproc\n.size saves,.-saves\n"
	".globl saves_caller\n.type saves_caller,@function\nsaves_caller:\n.cfi_startproc\nmov $7,%ecx\ncall "
	"saves\n"
	"mov %rcx,%rax\nret\n.cfi_endproc\n.size saves_caller,.-saves_caller\n"
	/* A caller that nothing describes. */
	".type lonely,@function\nlonely:\n.cfi_startproc\nret\n.cfi_endproc\n.size lonely,.-lonely\n"
	"mov $7,%ecx\ncall lonely\nret\n");
