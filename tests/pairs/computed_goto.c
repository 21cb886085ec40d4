// SPDX-License-Identifier: MIT
// EXPECT first changed
// EXPECT run changed
// DATA? labels changed
// DATA? run.labels changed
int g(int), h(int);
int first(int x)
{
#ifdef PATCHED
	g(x);
#endif
	return h(x);
}
int same(const unsigned char *p)
{
	static const void *const table[] = {&&add, &&sub, &&stop};
	int n = 0;
	goto *table[*p++];
add:
	n = g(n);
	goto *table[*p++];
sub:
	n = h(n);
	goto *table[*p++];
stop:
	return n;
}
int run(const unsigned char *p)
{
	static void *labels[] = {&&add, &&sub, &&stop};
	int n = 0;
	goto *labels[*p++];
add:
	n = g(n);
#ifdef PATCHED
	n = g(n + 1);
#endif
	goto *labels[*p++];
sub:
	n = h(n);
	goto *labels[*p++];
stop:
	return n;
}
