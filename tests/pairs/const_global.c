// SPDX-License-Identifier: MIT
// DATA costs changed
// PROBLEM data costs
int g(int);
extern const int costs[4];
#ifdef PATCHED
const int costs[4] = {1, 2, 3, 5};
#else
const int costs[4] = {1, 2, 3, 4};
#endif
int look(const int *p, int x)
{
	return g(p[x]);
}
int f(int x)
{
	return look(costs, x) + x;
}
