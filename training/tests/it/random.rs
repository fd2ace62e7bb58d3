//! The generators: equal seeds, their range, and what Python and PyTorch draw from the same seed.

use carrel_training::random::Random;
use carrel_training::random::mersenne::{Torch, shuffle_as_python};

#[test]
fn equal_seeds_give_equal_numbers_and_neighbours_do_not() {
    let draw = |seed| -> Vec<u64> {
        let mut random = Random::new(seed);
        (0..8).map(|_| random.bits()).collect()
    };
    assert_eq!(draw(1234), draw(1234));
    assert!(draw(1234).iter().all(|bits| !draw(1235).contains(bits)));
}

/// The figures are those of rand_xoshiro 0.8.
#[test]
fn a_seed_keeps_its_numbers() {
    let mut random = Random::new(1234);
    let drawn = [random.bits(), random.bits()];
    assert_eq!(
        drawn,
        [13_965_075_828_013_061_239, 7_827_044_556_653_101_013]
    );
}

/// Without a rejection half of these would be multiples of three: of four draws two would give the same number.
#[test]
fn numbers_below_a_bound_are_equally_frequent() {
    let mut random = Random::new(5);
    let mut multiple = || random.below(3 << 62).is_multiple_of(3);
    let multiples = (0..9_000).filter(|_| multiple()).count();
    // The deviation is 45.
    assert!((2_800..3_200).contains(&multiples), "{multiples}");
}

#[test]
fn uniform_numbers_fill_their_range() {
    let mut random = Random::new(1);
    let numbers: Vec<f64> = (0..10_000).map(|_| random.uniform()).collect();
    assert!(numbers.iter().all(|x| (0.0..1.0).contains(x)));
    let mean = numbers.iter().sum::<f64>() / 1e4;
    // The deviation of the mean is 0.0029.
    assert!((mean - 0.5).abs() < 0.015, "{mean}");
}

/// The figures are those of Python 3.11.
#[test]
fn items_are_shuffled_as_python_does() {
    let shuffled = |seed, len| {
        let mut items: Vec<usize> = (0..len).collect();
        shuffle_as_python(seed, &mut items);
        items.truncate(10);
        items
    };
    let of_mnist = [
        33712, 36159, 45528, 25849, 53734, 40353, 32418, 55928, 38521, 21823,
    ];
    assert_eq!(shuffled(1234, 60_000), of_mnist);
    assert_eq!(shuffled(0, 10), [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]);
    assert_eq!(shuffled((1 << 40) + 5, 10), [1, 2, 3, 6, 7, 0, 5, 4, 9, 8]);
    assert!(shuffled(1, 0).is_empty());
}

/// `torch.rand(4)` of PyTorch 1.13, which is `(x + 1) / 2` of a number within 1.
#[test]
fn uniform_numbers_are_those_of_pytorch() {
    let drawn = Torch::new(1234).uniform(1.0, 4);
    let expected = [0.028_979_242, 0.401_898_56, 0.259_844_18, 0.366_641_34];
    for (x, expected) in drawn.iter().zip(expected) {
        assert!(((x + 1.0) / 2.0 - expected).abs() < 1e-7, "{drawn:?}");
    }
}
