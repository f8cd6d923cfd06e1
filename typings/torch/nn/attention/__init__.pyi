from torch.nn.attention import bias as bias
