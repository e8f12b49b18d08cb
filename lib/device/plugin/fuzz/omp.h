// The part of OpenMP that ../onednn.c uses. clang comes without the header.
void omp_set_num_threads(int threads);
