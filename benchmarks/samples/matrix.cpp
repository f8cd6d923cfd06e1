// A dense matrix of doubles with the few operations that solving linear systems takes.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <ostream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace linear {

class Matrix {
public:
    Matrix(std::size_t rows, std::size_t columns, double value = 0.0)
        : rows_(rows), columns_(columns), values_(rows * columns, value) {}

    Matrix(std::initializer_list<std::initializer_list<double>> rows)
        : rows_(rows.size()), columns_(rows.size() ? rows.begin()->size() : 0) {
        values_.reserve(rows_ * columns_);
        for (const auto& row : rows) {
            if (row.size() != columns_) {
                throw std::invalid_argument("rows differ in length");
            }
            values_.insert(values_.end(), row.begin(), row.end());
        }
    }

    static Matrix identity(std::size_t size) {
        Matrix result(size, size);
        for (std::size_t i = 0; i < size; ++i) {
            result(i, i) = 1.0;
        }
        return result;
    }

    std::size_t rows() const { return rows_; }
    std::size_t columns() const { return columns_; }

    double& operator()(std::size_t row, std::size_t column) {
        return values_[row * columns_ + column];
    }

    double operator()(std::size_t row, std::size_t column) const {
        return values_[row * columns_ + column];
    }

    Matrix transposed() const {
        Matrix result(columns_, rows_);
        for (std::size_t i = 0; i < rows_; ++i) {
            for (std::size_t j = 0; j < columns_; ++j) {
                result(j, i) = (*this)(i, j);
            }
        }
        return result;
    }

    Matrix& operator+=(const Matrix& other) {
        require_same_shape(other);
        for (std::size_t i = 0; i < values_.size(); ++i) {
            values_[i] += other.values_[i];
        }
        return *this;
    }

    Matrix& operator*=(double factor) {
        for (double& value : values_) {
            value *= factor;
        }
        return *this;
    }

    double norm() const {
        double sum = 0.0;
        for (double value : values_) {
            sum += value * value;
        }
        return std::sqrt(sum);
    }

    void swap_rows(std::size_t first, std::size_t second) {
        for (std::size_t j = 0; j < columns_; ++j) {
            std::swap((*this)(first, j), (*this)(second, j));
        }
    }

private:
    void require_same_shape(const Matrix& other) const {
        if (rows_ != other.rows_ || columns_ != other.columns_) {
            throw std::invalid_argument("matrices differ in shape");
        }
    }

    std::size_t rows_;
    std::size_t columns_;
    std::vector<double> values_;
};

Matrix operator*(const Matrix& left, const Matrix& right) {
    if (left.columns() != right.rows()) {
        throw std::invalid_argument("inner dimensions differ");
    }
    Matrix result(left.rows(), right.columns());
    for (std::size_t i = 0; i < left.rows(); ++i) {
        for (std::size_t k = 0; k < left.columns(); ++k) {
            for (std::size_t j = 0; j < right.columns(); ++j) {
                result(i, j) += left(i, k) * right(k, j);
            }
        }
    }
    return result;
}

// Solves a * x = b by Gaussian elimination with partial pivoting.
std::vector<double> solve(Matrix a, std::vector<double> b) {
    const std::size_t size = a.rows();
    if (a.columns() != size || b.size() != size) {
        throw std::invalid_argument("the system is not square");
    }
    for (std::size_t column = 0; column < size; ++column) {
        std::size_t pivot = column;
        for (std::size_t i = column + 1; i < size; ++i) {
            if (std::abs(a(i, column)) > std::abs(a(pivot, column))) {
                pivot = i;
            }
        }
        if (a(pivot, column) == 0.0) {
            throw std::runtime_error("the matrix is singular");
        }
        a.swap_rows(column, pivot);
        std::swap(b[column], b[pivot]);
        for (std::size_t i = column + 1; i < size; ++i) {
            const double factor = a(i, column) / a(column, column);
            for (std::size_t j = column; j < size; ++j) {
                a(i, j) -= factor * a(column, j);
            }
            b[i] -= factor * b[column];
        }
    }
    std::vector<double> x(size);
    for (std::size_t i = size; i-- > 0;) {
        double sum = b[i];
        for (std::size_t j = i + 1; j < size; ++j) {
            sum -= a(i, j) * x[j];
        }
        x[i] = sum / a(i, i);
    }
    return x;
}

std::ostream& operator<<(std::ostream& out, const Matrix& matrix) {
    for (std::size_t i = 0; i < matrix.rows(); ++i) {
        for (std::size_t j = 0; j < matrix.columns(); ++j) {
            out << (j ? " " : "") << matrix(i, j);
        }
        out << '\n';
    }
    return out;
}

}  // namespace linear
