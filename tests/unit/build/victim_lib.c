// SPDX-License-Identifier: MIT
/* A library to patch. */
int lib_counter;
int lib_answer(int x);
__attribute__((noinline)) int lib_answer(int x)
{
	lib_counter += x;
	return lib_counter * 2 + x;
}
