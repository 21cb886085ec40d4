// SPDX-License-Identifier: MIT
// EXPECT scale changed
double half(double x)
{
	return x * 0.5;
}
double scale(double x)
{
#ifdef PATCHED
	return x * 2.75;
#else
	return x * 2.25;
#endif
}
float single(float x)
{
	return x * 1.25f;
}
