/* C = A * B for N x N matrices, in blocks of BI x BJ x BK. Prints the seconds of one product and a checksum of C.
 *
 * BI, BJ and BK need not divide N. The elements are small whole numbers, so that every order of the additions gives the
 * same sum: another checksum means that the compiler or a block size broke the program.
 */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>

#ifndef N
#define N 384
#endif

static float A[N][N], B[N][N], C[N][N];

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

static int least(int a, int b) { return a < b ? a : b; }

static void multiply(void) {
    for (int i0 = 0; i0 < N; i0 += BI)
        for (int k0 = 0; k0 < N; k0 += BK)
            for (int j0 = 0; j0 < N; j0 += BJ)
                for (int i = i0; i < least(i0 + BI, N); i++)
                    for (int k = k0; k < least(k0 + BK, N); k++) {
                        const float a = A[i][k];
                        for (int j = j0; j < least(j0 + BJ, N); j++)
                            C[i][j] += a * B[k][j];
                    }
}

int main(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            A[i][j] = (i * 7 + j * 3) % 5;
            B[i][j] = (i * 2 + j * 5) % 7;
        }
    const double start = seconds();
    multiply();
    const double spent = seconds() - start;
    long long sum = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            sum += (long long)C[i][j] * (1 + (i + 2 * j) % 11);
    printf("seconds %.9f\nchecksum %lld\n", spent, sum);
    return 0;
}
