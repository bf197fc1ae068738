/* compute/gemm_activations.h - the activations of instruction sets that have no wide look-up: x g(x), g rising from 0 to 1
 * with g(-x) = 1 - g(x). Included with gemm_template.h's vocabulary defined. */

/* e^x for x <= 0, to about 1 unit in the last place; below -87 the answer is that of -87.
 * x = n ln 2 + r with |r| <= ln(2)/2; e^r by its series to r^7; 2^n through the exponent's bits. */
INLINE vec exp_nonpositive(vec x)
{
    x = GREATER(x, SET(-87.0f));
    vec shifted = FMA(x, SET(1.44269504f), SET(12582912.0f)); /* the integer n stands in its last bits */
    vec n = shifted - SET(12582912.0f);
    vec r = FMA(n, SET(2.12194440e-4f), FMA(n, SET(-0.693359375f), x)); /* ln 2 in two pieces */
    vec p = FMA(SET(1.98412698e-4f), r, SET(1.38888889e-3f));
    p = FMA(p, r, SET(8.33333333e-3f));
    p = FMA(p, r, SET(4.16666667e-2f));
    p = FMA(p, r, SET(1.66666667e-1f));
    p = FMA(p, r, SET(0.5f));
    p = FMA(p, r * r, r + SET(1.0f));
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

/* max(x, 0) - |x| tail, where tail is next to nothing long before |x| is 100. What is no number stays so. */
INLINE vec less_tail(vec x, vec tail)
{
    return GREATER(SET(0.0f), x) - LESSER(ABSOLUTE(x), SET(100.0f)) * tail;
}

/* x / (1 + e^-u) where u has the sign of x: with e = e^-|u|, the tail is e / (1 + e). */
INLINE vec sigmoid_product(vec x, vec u)
{
    vec e = exp_nonpositive(-ABSOLUTE(u));
    return less_tail(x, e / (SET(1.0f) + e));
}

/* x Phi(x), with erf by Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7):
 * 1 - erf(z) = 2 (1 - Phi(|x|)) is twice the tail. */
INLINE vec gelu(vec x)
{
    vec z = ABSOLUTE(x) * SET(0.707106781f);
    vec t = SET(1.0f) / FMA(z, SET(0.3275911f), SET(1.0f));
    vec p = FMA(SET(1.061405429f), t, SET(-1.453152027f));
    p = FMA(p, t, SET(1.421413741f));
    p = FMA(p, t, SET(-0.284496736f));
    p = FMA(p, t, SET(0.254829592f));
    return less_tail(x, SET(0.5f) * p * t * exp_nonpositive(-z * z));
}

INLINE vec activate(vec x, clsp_epilogue epilogue)
{
    switch (epilogue) {
    case CLSP_EPILOGUE_GELU: return gelu(x);
    case CLSP_EPILOGUE_QUICK_GELU: return sigmoid_product(x, x * SET(1.702f));
    case CLSP_EPILOGUE_GELU_TANH: /* x (1 + tanh(u)) / 2 = x / (1 + e^-2u) */
        return sigmoid_product(x, x * FMA(x * x, SET(1.595769122f * 0.044715f), SET(1.595769122f)));
    case CLSP_EPILOGUE_ADD:
    case CLSP_EPILOGUE_NONE: break;
    }
    return x;
}
