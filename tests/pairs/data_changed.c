// SPDX-License-Identifier: MIT
// DATA level changed
// DATA names changed
// PROBLEM data level
// PROBLEM data names
#ifdef PATCHED
int level = 4;
static const char *names[] = {"a", "c"};
#else
int level = 3;
static const char *names[] = {"a", "b"};
#endif
int *get_level(void)
{
	return &level;
}
const char **get_names(void)
{
	return names;
}
