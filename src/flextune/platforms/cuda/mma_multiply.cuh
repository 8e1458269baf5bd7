template <typename LA, typename LB>
__device__ __forceinline__ void multiply(
    fragment<accumulator, 16, 8, $K, $C>& d, const fragment<matrix_a, 16, 8, $K, $A, LA>& a,
    const fragment<matrix_b, 16, 8, $K, $B, LB>& b, const fragment<accumulator, 16, 8, $K, $C>& c) {
  asm volatile("mma.sync.aligned.m16n8k$K.row.col.$types "
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
               : "=$r"(d.x[0]), "=$r"(d.x[1]), "=$r"(d.x[2]), "=$r"(d.x[3])
               : "r"(a.r[0]), "r"(a.r[1]), "r"(a.r[2]), "r"(a.r[3]), "r"(b.r[0]), "r"(b.r[1]),
                 "$r"(c.x[0]), "$r"(c.x[1]), "$r"(c.x[2]), "$r"(c.x[3]));
}
