// SPDX-License-Identifier: MIT
/* The shape of a payload image: code with unwind information, no relocations, read from memory. */
__attribute__((visibility("default"))) void image_entry(void (*then)(void));
void image_entry(void (*then)(void))
{
	volatile char room[200];
	room[7] = 1;
	then();
	(void)room[7];
}
