/* SPDX-License-Identifier: MIT */
/* A little of all that a library may have: versions, IFUNC, thread-local data, a split-off part. */
__thread int variable;
int function(int x);
int caller(int x);
int chosen(int x) __attribute__((ifunc("resolver")));

__attribute__((noinline)) int function(int x)
{
	__asm__ volatile("");
	return x + 1;
}

static __attribute__((noinline, cold)) int rare(int x)
{
	__asm__ volatile("");
	return x;
}

int caller(int x)
{
	if (x > 5)
		return rare(x) + rare(x + 1);
	variable++;
	return function(x);
}

static int implementation(int x)
{
	return x;
}

static __attribute__((used)) int (*resolver(void))(int)
{
	return implementation;
}
