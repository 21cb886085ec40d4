// SPDX-License-Identifier: MIT
/* The second function of that name: only its file tells it from the one in victim.c. */
extern int counter;

__attribute__((noinline)) static int twin(int x)
{
	return x * 7 - counter;
}

int other_twin(int x);
int other_twin(int x)
{
	return twin(x) + twin(x + 1);
}
